/* A disk that keeps nothing while a file exists: put in front of the C library with LD_PRELOAD. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static int is_broken(void)
{
    const char *sign = getenv("BROKEN_WHILE_EXISTS");
    return sign && access(sign, F_OK) == 0;
}

static int sync_with(const char *name, int file)
{
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    if (is_broken() || !real) {
        errno = EIO;
        return -1;
    }
    return real(file);
}

int fsync(int file)
{
    return sync_with("fsync", file);
}

int fdatasync(int file)
{
    return sync_with("fdatasync", file);
}
