// Ctrl-C: a long command ends at the next point where nothing is left half written.
#ifndef BDPO_INTERRUPT_H
#define BDPO_INTERRUPT_H

#include <stdbool.h>

// From now on SIGINT and SIGTERM are noted; a second one ends the program at once.
void bdpo_interrupt_catch(void);
bool bdpo_interrupt_noted(void);

#endif
