/* Disasters on demand, for a process that is started with this library in LD_PRELOAD.

   PRIEM_FAULTS names a file of 24 bytes that both sides map: whoever writes a number into it makes the
   disaster happen at once, whoever writes 0 ends it. Only files below PRIEM_FAULTS_DIR suffer. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

struct faults {
    volatile int32_t write_errno; /* what writing says */
    volatile int32_t fsync_errno; /* what making durable says */
    volatile int64_t clock_offset_ns; /* how wrong the wall clock is */
    volatile int32_t tears; /* half of what is written arrives before writing fails */
    volatile int32_t suffered; /* how many calls have failed so far */
};

static struct faults none;
static struct faults *now = &none;
static char below[PATH_MAX];

__attribute__((constructor)) static void begin(void) {
    const char *file = getenv("PRIEM_FAULTS"), *folder = getenv("PRIEM_FAULTS_DIR");
    if (!file || !folder) return;
    snprintf(below, sizeof below, "%s", folder);
    int fd = open(file, O_RDWR | O_CLOEXEC);
    if (fd < 0) return;
    void *mapped = mmap(NULL, sizeof none, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (mapped != MAP_FAILED) now = mapped;
    close(fd);
}

static int suffers(int fd) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return !strncmp(path, below, strlen(below));
}

static int failing(int fd, int code) {
    if (!code || !suffers(fd)) return 0;
    __sync_fetch_and_add(&now->suffered, 1);
    errno = code;
    return 1;
}

#define REAL(name) \
    static __typeof__(&name) real; \
    if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

#define WRITING(name, offset_type) \
    ssize_t name(int fd, const void *what, size_t count, offset_type offset) { \
        REAL(name); \
        if (failing(fd, now->write_errno)) { \
            if (now->tears && count > 1) return real(fd, what, count / 2, offset); \
            errno = now->write_errno; \
            return -1; \
        } \
        return real(fd, what, count, offset); \
    }

WRITING(pwrite, off_t)
WRITING(pwrite64, off64_t)

ssize_t write(int fd, const void *what, size_t count) {
    REAL(write);
    if (failing(fd, now->write_errno)) return -1;
    return real(fd, what, count);
}

int ftruncate(int fd, off_t length) {
    REAL(ftruncate);
    return failing(fd, now->write_errno) ? -1 : real(fd, length);
}

int ftruncate64(int fd, off64_t length) {
    REAL(ftruncate64);
    return failing(fd, now->write_errno) ? -1 : real(fd, length);
}

int posix_fallocate(int fd, off_t offset, off_t length) {
    REAL(posix_fallocate);
    return failing(fd, now->write_errno) ? errno : real(fd, offset, length);
}

int fsync(int fd) {
    REAL(fsync);
    return failing(fd, now->fsync_errno) ? -1 : real(fd);
}

int fdatasync(int fd) {
    REAL(fdatasync);
    return failing(fd, now->fsync_errno) ? -1 : real(fd);
}

int clock_gettime(clockid_t clock, struct timespec *at) {
    REAL(clock_gettime);
    int done = real(clock, at);
    int64_t offset = now->clock_offset_ns;
    if (!done && offset && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        int64_t ns = (int64_t)at->tv_sec * 1000000000 + at->tv_nsec + offset;
        at->tv_sec = ns / 1000000000;
        at->tv_nsec = ns % 1000000000;
    }
    return done;
}
