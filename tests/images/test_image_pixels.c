// Turning, cutting, floats and grids.
#include "formats/image_grid.h"
#include "image_fixtures.h"

static FILE *open_fixture(const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "fixtures/images/%s", name);
    FILE *file = fopen(test_path(path), "r");
    if (!file) FAIL("%s is missing", path);
    return file;
}

BDPO_TEST(orientations_as_exif_transpose)
{
    int orientation, width, n = 0;
    char hex[16], ours[16];
    FILE *file = open_fixture("turned.txt");
    while (fscanf(file, "%d %d %15s", &orientation, &width, hex) == 3) {
        bdpo_image image;
        CHECK_OK(bdpo_image_new(&image, 3, 2, BDPO_IMAGE_GREY));
        for (int i = 0; i < 6; i++) image.pixels[i] = (uint8_t)i;
        image.orientation = orientation;
        CHECK_OK(bdpo_image_apply_orientation(&image));
        CHECK_INT(image.width, width);
        CHECK_INT(image.height, 6 / width);
        CHECK_INT(image.orientation, 1);
        for (size_t i = 0; i < 6; i++) snprintf(ours + 2 * i, 3, "%02x", image.pixels[i]);
        if (strcmp(ours, hex) != 0) FAIL("orientation %d: %s, Pillow %s", orientation, ours, hex);
        bdpo_image_release(&image);
        n++;
    }
    fclose(file);
    CHECK_INT(n, 8);
}

BDPO_TEST(floats_as_diffusers)
{
    enum { COUNT = 48 };
    float values[COUNT], back[COUNT];
    uint32_t bits;
    unsigned byte;
    bdpo_image image;
    FILE *file = open_fixture("floats.txt");
    for (int i = 0; i < COUNT; i++) {
        CHECK_INT(fscanf(file, "%8x", &bits), 1);
        memcpy(&values[i], &bits, sizeof bits);
    }
    CHECK_OK(bdpo_image_from_floats(&image, values, 4, 4));
    for (int i = 0; i < COUNT; i++) {
        CHECK_INT(fscanf(file, "%2x", &byte), 1);
        CHECK_INT(image.pixels[i], byte);
    }
    bdpo_image_to_floats(back, &image);
    for (int i = 0; i < COUNT; i++) {
        CHECK_INT(fscanf(file, "%8x", &bits), 1);
        CHECK_BYTES(&back[i], &bits, sizeof bits);
    }
    fclose(file);
    values[0] = (float)NAN;
    bdpo_image_release(&image);
    CHECK_OK(bdpo_image_from_floats(&image, values, 1, 1));
    CHECK_INT(image.pixels[0], 0);
    bdpo_image_release(&image);
}

BDPO_TEST(crop_pads_with_zero)
{
    static const uint8_t expected[] = {0, 0, 0, 0, 0, 1, 0, 3, 4, 0, 0, 0};
    bdpo_image image, part;
    CHECK_OK(bdpo_image_new(&image, 3, 2, BDPO_IMAGE_GREY));
    for (int i = 0; i < 6; i++) image.pixels[i] = (uint8_t)i;
    CHECK_OK(bdpo_image_crop(&part, &image, -1, -1, 3, 4));
    CHECK_BYTES(part.pixels, expected, sizeof expected);
    bdpo_image_release(&part);
    CHECK_OK(bdpo_image_crop(&part, &image, 7, INT32_MAX, 2, 2)); // all outside
    CHECK_INT(part.pixels[0] | part.pixels[1] | part.pixels[2] | part.pixels[3], 0);
    bdpo_image_release(&part);
    CHECK_OK(bdpo_image_crop(&part, &image, 1, 1, 2, 1));
    CHECK_INT(part.pixels[0], 4);
    CHECK_INT(part.pixels[1], 5);
    bdpo_image_release(&part);
    CHECK_STATUS(bdpo_image_crop(&part, &image, 0, 0, 0, 1), BDPO_BAD_ARGUMENT);
    bdpo_image_release(&image);
}

BDPO_TEST(grid_lays_pictures_out)
{
    bdpo_image images[3], sheet;
    for (int i = 0; i < 3; i++) {
        CHECK_OK(bdpo_image_new(&images[i], 2, 1, BDPO_IMAGE_RGB));
        memset(images[i].pixels, i + 1, 6);
    }
    CHECK_OK(bdpo_image_grid(&sheet, images, 3, 2, 1));
    CHECK_INT(sheet.width, 7);
    CHECK_INT(sheet.height, 5);
    static const char *const rows[] = {".......", ".11.22.", ".......", ".33....", "......."};
    for (int y = 0; y < 5; y++)
        for (int x = 0; x < 7; x++)
            CHECK_INT(sheet.pixels[3 * (7 * y + x)], rows[y][x] == '.' ? 255 : rows[y][x] - '0');
    bdpo_image_release(&sheet);
    CHECK_OK(bdpo_image_grid(&sheet, images, 3, 9, 0)); // no more columns than pictures
    CHECK_INT(sheet.width, 6);
    bdpo_image_release(&sheet);
    CHECK_STATUS(bdpo_image_grid(&sheet, images, 3, 3, 65000), BDPO_BAD_ARGUMENT);
    images[2].mode = BDPO_IMAGE_PALETTE;
    CHECK_STATUS(bdpo_image_grid(&sheet, images, 3, 2, 1), BDPO_BAD_ARGUMENT);
    CHECK_CONTAINS(bdpo_message(), "picture 2");
    for (int i = 0; i < 3; i++) bdpo_image_release(&images[i]);
}
