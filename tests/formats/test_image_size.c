// The size in the header is that of the decoded picture.
#include <dirent.h>

#include "base/file.h"
#include "base/memory.h"
#include "formats/image.h"
#include "formats/image_size.h"
#include "harness.h"

// Each picture of a folder that decodes; gives how many there were.
static int check_folder(const char *folder)
{
    char path[2048];
    int n = 0;
    DIR *dir = opendir(folder);
    CHECK(dir != NULL);
    for (const struct dirent *entry; (entry = readdir(dir));) {
        char *data;
        size_t size;
        int width = 0, height = 0;
        bdpo_image image;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (bdpo_file_read(&data, &size, path, 64 << 20) != BDPO_OK) continue; // a folder
        if (bdpo_image_decode(&image, data, size, path) == BDPO_OK) {
            CHECK_OK(bdpo_image_size(&width, &height, data, size, path));
            CHECK_INT(width, image.width);
            CHECK_INT(height, image.height);
            bdpo_image_release(&image);
            n++;
        }
        for (size_t cut = 0; cut < size && cut < 200; cut++) { // no byte behind the end is read
            char *part = bdpo_alloc(cut, 1);
            CHECK(part != NULL);
            memcpy(part, data, cut);
            bdpo_status status = bdpo_image_size(&width, &height, part, cut, path);
            CHECK(status == BDPO_OK || status == BDPO_BAD_FILE || status == BDPO_UNSUPPORTED);
            bdpo_free(part);
        }
        bdpo_free(data);
    }
    closedir(dir);
    return n;
}

BDPO_TEST(sizes_of_fixtures)
{
    CHECK(check_folder(test_path("fixtures/records/imagefolder/images")) >= 14);
    CHECK(check_folder(test_path("fuzz/image")) >= 3);
}

BDPO_TEST(sizes_of_real_pictures)
{
    char folder[2048];
    snprintf(folder, sizeof folder, "%s/../../shared/data/images", BDPO_TESTS_DIR);
    if (!bdpo_file_exists(folder)) SKIP("../shared/data/images is absent");
    CHECK(check_folder(folder) >= 15);
}
