/* Loaded before the program of the bench (LD_PRELOAD): every sync of the disk takes HAUS_BENCH_SYNC_US longer, so that
 * the disk is the limit and not the processor. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

static int longer(const char *name, int fd) {
    int (*sync)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    int outcome = sync(fd);
    const char *us = getenv("HAUS_BENCH_SYNC_US");
    if (us) usleep((useconds_t)atoi(us));
    return outcome;
}

int fdatasync(int fd) { return longer("fdatasync", fd); }
int fsync(int fd) { return longer("fsync", fd); }
