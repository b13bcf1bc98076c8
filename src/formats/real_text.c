// As many digits as it takes, tried one after the other.
#include "formats/real_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int bdpo_real_text(char out[BDPO_REAL_TEXT_BYTES], double number)
{
    char text[BDPO_REAL_TEXT_BYTES];
    int length = 0;
    for (int digits = 15; digits <= 17; digits++) {
        length = snprintf(text, sizeof text, "%.*g", digits, number);
        if (strtod(text, NULL) == number) break;
    }
    memcpy(out, text, (size_t)length + 1);
    return length;
}
