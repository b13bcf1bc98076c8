// As many digits as it takes, tried one after the other.
#include "formats/real_text.h"

#include <stdio.h>
#include <stdlib.h>

int bdpo_real_text(char out[BDPO_REAL_TEXT_BYTES], double number)
{
    int length = 0;
    for (int digits = 15; digits <= 17; digits++) {
        length = snprintf(out, BDPO_REAL_TEXT_BYTES, "%.*g", digits, number);
        if (strtod(out, NULL) == number) break;
    }
    return length;
}
