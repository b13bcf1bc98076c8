// What is done to pixels without a file: conversion, turning, cutting, floats.
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "formats/image.h"

// ---- to RGB --------------------------------------------------------------------------------

static int multiply_255(int a, int b) // a * b / 255, rounded
{
    int t = a * b + 128;
    return ((t >> 8) + t) >> 8;
}

static void pixel_to_rgb(uint8_t rgb[3], const uint8_t *p, bdpo_image_mode mode)
{
    switch (mode) {
    case BDPO_IMAGE_BILEVEL:
    case BDPO_IMAGE_GREY:
    case BDPO_IMAGE_GREY_ALPHA:
        rgb[0] = rgb[1] = rgb[2] = p[0];
        return;
    case BDPO_IMAGE_GREY_16:
        rgb[0] = rgb[1] = rgb[2] = p[1] ? 255 : p[0];
        return;
    case BDPO_IMAGE_CMYK:
        for (int c = 0; c < 3; c++) { // never negative: the product is at most 255 - p[3]
            int white = 255 - p[3];
            rgb[c] = (uint8_t)(white - multiply_255(p[c], white));
        }
        return;
    default:
        memcpy(rgb, p, 3);
    }
}

bdpo_status bdpo_image_to_rgb(bdpo_image *image)
{
    if (image->channels != 3) {
        bdpo_image rgb;
        TRY(bdpo_image_new(&rgb, image->width, image->height, BDPO_IMAGE_RGB));
        size_t n_pixels = (size_t)image->width * (size_t)image->height;
        for (size_t i = 0; i < n_pixels; i++)
            pixel_to_rgb(rgb.pixels + 3 * i, image->pixels + (size_t)image->channels * i,
                         image->mode);
        rgb.orientation = image->orientation;
        bdpo_image_release(image);
        *image = rgb;
    }
    image->mode = BDPO_IMAGE_RGB;
    return BDPO_OK;
}

// ---- turning -------------------------------------------------------------------------------

// The orientations 1 to 8 are: mirror x, mirror y, then swap the axes. For the pixel (x, y) of the
// turned picture, where it lies in the stored one. Source: EXIF 2.3, tag 0112.
static const struct {
    bool swap, from_right, from_bottom;
} turns[9] = {[2] = {false, true, false}, [3] = {false, true, true}, [4] = {false, false, true},
              [5] = {true, false, false}, [6] = {true, false, true}, [7] = {true, true, true},
              [8] = {true, true, false}};

bdpo_status bdpo_image_apply_orientation(bdpo_image *image)
{
    int o = image->orientation, w = image->width, h = image->height;
    if (o < 2 || o > 8) return BDPO_OK;
    bdpo_image turned;
    TRY(bdpo_image_new(&turned, turns[o].swap ? h : w, turns[o].swap ? w : h, image->mode));
    size_t n = (size_t)image->channels;
    uint8_t *to = turned.pixels;
    for (int y = 0; y < turned.height; y++) {
        for (int x = 0; x < turned.width; x++, to += n) {
            int sx = turns[o].swap ? y : x, sy = turns[o].swap ? x : y;
            if (turns[o].from_right) sx = w - 1 - sx;
            if (turns[o].from_bottom) sy = h - 1 - sy;
            memcpy(to, image->pixels + ((size_t)sy * (size_t)w + (size_t)sx) * n, n);
        }
    }
    bdpo_image_release(image);
    *image = turned;
    return BDPO_OK;
}

// ---- cutting -------------------------------------------------------------------------------

// The part of [start, start + length) that lies in [0, limit).
static void overlap(int64_t *from, int64_t *to, int start, int length, int limit)
{
    *from = start > 0 ? start : 0;
    *to = (int64_t)start + length < limit ? (int64_t)start + length : limit;
}

bdpo_status bdpo_image_crop(bdpo_image *out, const bdpo_image *image, int left, int top, int width,
                            int height)
{
    int64_t x0, x1, y0, y1;
    TRY(bdpo_image_new(out, width, height, image->mode));
    out->orientation = image->orientation;
    overlap(&x0, &x1, left, width, image->width);
    overlap(&y0, &y1, top, height, image->height);
    for (int64_t y = y0; y < y1 && x0 < x1; y++)
        memcpy(out->pixels + ((y - top) * width + (x0 - left)) * out->channels,
               image->pixels + (y * image->width + x0) * image->channels,
               (size_t)((x1 - x0) * image->channels));
    return BDPO_OK;
}

// ---- floats --------------------------------------------------------------------------------

bdpo_status bdpo_image_from_floats(bdpo_image *out, const float *values, int width, int height)
{
    TRY(bdpo_image_new(out, width, height, BDPO_IMAGE_RGB));
    size_t n = bdpo_image_bytes(out);
    for (size_t i = 0; i < n; i++) {
        float x = values[i] * 0.5f + 0.5f;
        x = x > 0.0f ? x : 0.0f; // and a NaN
        x = x < 1.0f ? x : 1.0f;
        out->pixels[i] = (uint8_t)rintf(x * 255.0f); // the rounding mode is the default, to even
    }
    return BDPO_OK;
}

void bdpo_image_to_floats(float *values, const bdpo_image *image)
{
    BDPO_ASSERT(image->mode == BDPO_IMAGE_RGB);
    size_t n = bdpo_image_bytes(image);
    for (size_t i = 0; i < n; i++) values[i] = 2.0f * ((float)image->pixels[i] / 255.0f) - 1.0f;
}
