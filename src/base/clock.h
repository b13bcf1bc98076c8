// Time for measuring: seconds since an arbitrary moment, never set back.
#ifndef BDPO_CLOCK_H
#define BDPO_CLOCK_H

double bdpo_clock_seconds(void);

#endif
