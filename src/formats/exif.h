// The two things of EXIF that concern us: the orientation, and the user comment, where web user
// interfaces keep the parameters of a JPEG or WebP. EXIF is a TIFF file without pictures.
#ifndef BDPO_EXIF_H
#define BDPO_EXIF_H

#include "formats/growing.h"

typedef struct bdpo_exif {
    int orientation;        // 1 to 8; 1 where there is none
    bool big_endian;        // of the TIFF block
    const uint8_t *comment; // the user comment with its 8 bytes of charset; borrowed, or NULL
    size_t comment_size;
} bdpo_exif;

// Reads a block that begins with the TIFF header. What is damaged counts as absent: a picture is
// no worse for it. *out borrows from `tiff`.
void bdpo_exif_read(bdpo_exif *out, const uint8_t *tiff, size_t size);

// The user comment as UTF-8: ASCII, or Unicode (UTF-16; its byte order is seen in the text, since
// writers disagree). *out is the caller's, released by bdpo_free(); NULL where there is none.
// BDPO_BAD_FILE for text of another charset, that is damaged, or of more than `limit` bytes.
BDPO_MUST_CHECK bdpo_status bdpo_exif_comment(char **out, const bdpo_exif *exif, size_t limit,
                                              const char *name);

// Adds a block with `comment` (valid UTF-8) as user comment, big-endian, UTF-16, as piexif does.
BDPO_MUST_CHECK bdpo_status bdpo_exif_write(bdpo_growing *out, const char *comment,
                                            const char *name);

#endif
