// A layer between a process and its disk, loaded with LD_PRELOAD. It numbers every operation that changes something below a folder, and
// at a chosen one the process is killed, before it or in the middle of it, or the operation fails.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { NOTHING, KILL, TEAR, FULL, FAULT };  // TEAR: half of a write is done; FULL: from here on nothing finds room; FAULT: once

static char folder[PATH_MAX], trace[1 << 20];
static long number, chosen = -1;
static int what;

void crash_arm(const char *below, long at, int kind) {
    if (!realpath(below, folder)) abort();
    number = 0, chosen = at, what = kind;
}

const char *crash_trace(void) { return trace; }

static void die(void) {
    raise(SIGKILL);
    for (;;) pause();
}

static int is_below(const char *path) {
    size_t length = strlen(folder);
    return length && !strncmp(path, folder, length) && path[length] == '/';
}

static int file_is_below(int descriptor) {
    char link[64], path[PATH_MAX];
    int before = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    errno = before;
    if (length < 0) return 0;
    path[length] = 0;
    return is_below(path);
}

static int name_is_below(int at, const char *name) {
    char start[PATH_MAX], path[2 * PATH_MAX];
    if (name[0] == '/') return is_below(name);
    if (at == AT_FDCWD) {
        if (!getcwd(start, sizeof start)) return 0;
    } else {
        char link[64];
        snprintf(link, sizeof link, "/proc/self/fd/%d", at);
        ssize_t length = readlink(link, start, sizeof start - 1);
        if (length < 0) return 0;
        start[length] = 0;
    }
    snprintf(path, sizeof path, "%s/%s", start, name);
    return is_below(path);
}

// Number an operation; 0: do it, 1: fail with errno, 2: do half of it and die.
static int happens(char operation) {
    long mine = __atomic_fetch_add(&number, 1, __ATOMIC_SEQ_CST);
    if (mine < (long)sizeof trace - 1) trace[mine] = operation;
    int room = operation == 'w' || operation == 'a' || operation == 'c';
    if (what == FULL && chosen >= 0 && mine >= chosen && room) return errno = ENOSPC, 1;
    if (mine != chosen) return 0;
    if (what == FAULT) return errno = EIO, 1;
    if (what == TEAR && operation == 'w') return 2;
    if (what == KILL) die();
    return 0;
}

#define REAL(name) static __typeof__(&name) real; if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

#define WRITES(name, arguments, call, half)                \
    ssize_t name arguments {                               \
        REAL(name);                                        \
        if (file_is_below(file)) switch (happens('w')) {   \
            case 1: return -1;                             \
            case 2: half; die();                           \
        }                                                  \
        return call;                                       \
    }

WRITES(write, (int file, const void *data, size_t size), real(file, data, size), real(file, data, size / 2))
WRITES(pwrite, (int file, const void *data, size_t size, off_t place), real(file, data, size, place), real(file, data, size / 2, place))
WRITES(pwrite64, (int file, const void *data, size_t size, off64_t place), real(file, data, size, place), real(file, data, size / 2, place))
WRITES(writev, (int file, const struct iovec *parts, int count), real(file, parts, count), real(file, parts, count / 2))
WRITES(sendfile, (int file, int from, off_t *place, size_t size), real(file, from, place, size), real(file, from, place, size / 2))
WRITES(sendfile64, (int file, int from, off64_t *place, size_t size), real(file, from, place, size), real(file, from, place, size / 2))
WRITES(copy_file_range, (int from, off64_t *a, int file, off64_t *b, size_t size, unsigned flags), real(from, a, file, b, size, flags),
       real(from, a, file, b, size / 2, flags))

#define ON_FILE(name, operation, arguments, call)                      \
    int name arguments {                                               \
        REAL(name);                                                    \
        return file_is_below(file) && happens(operation) ? -1 : call;  \
    }

ON_FILE(fsync, 's', (int file), real(file))
ON_FILE(fdatasync, 's', (int file), real(file))
ON_FILE(ftruncate, 'a', (int file, off_t size), real(file, size))
ON_FILE(ftruncate64, 'a', (int file, off64_t size), real(file, size))
ON_FILE(fallocate, 'a', (int file, int mode, off_t place, off_t size), real(file, mode, place, size))
ON_FILE(fallocate64, 'a', (int file, int mode, off64_t place, off64_t size), real(file, mode, place, size))

#define ALLOCATES(name, offset)                                                  \
    int name(int file, offset place, offset size) {                              \
        REAL(name);                                                              \
        return file_is_below(file) && happens('a') ? errno : real(file, place, size); \
    }

ALLOCATES(posix_fallocate, off_t)
ALLOCATES(posix_fallocate64, off64_t)

#define ON_NAME(name, operation, at, path, arguments, call)             \
    int name arguments {                                                \
        REAL(name);                                                     \
        return name_is_below(at, path) && happens(operation) ? -1 : call; \
    }

ON_NAME(rename, 'r', AT_FDCWD, to, (const char *from, const char *to), real(from, to))
ON_NAME(renameat, 'r', b, to, (int a, const char *from, int b, const char *to), real(a, from, b, to))
ON_NAME(link, 'c', AT_FDCWD, to, (const char *from, const char *to), real(from, to))
ON_NAME(linkat, 'c', b, to, (int a, const char *from, int b, const char *to, int flags), real(a, from, b, to, flags))
ON_NAME(unlink, 'u', AT_FDCWD, path, (const char *path), real(path))
ON_NAME(unlinkat, 'u', at, path, (int at, const char *path, int flags), real(at, path, flags))
ON_NAME(rmdir, 'u', AT_FDCWD, path, (const char *path), real(path))
ON_NAME(mkdir, 'c', AT_FDCWD, path, (const char *path, mode_t mode), real(path, mode))
ON_NAME(mkdirat, 'c', at, path, (int at, const char *path, mode_t mode), real(at, path, mode))
ON_NAME(truncate, 'a', AT_FDCWD, path, (const char *path, off_t size), real(path, size))
ON_NAME(truncate64, 'a', AT_FDCWD, path, (const char *path, off64_t size), real(path, size))

#define OPENS(name)                                                                                   \
    int name(const char *path, int flags, ...) {                                                      \
        REAL(name);                                                                                   \
        va_list rest;                                                                                 \
        va_start(rest, flags);                                                                        \
        mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;                                     \
        va_end(rest);                                                                                 \
        int changes = flags & (O_CREAT | O_TRUNC) && name_is_below(AT_FDCWD, path);                   \
        return changes && happens('c') ? -1 : real(path, flags, mode);                                \
    }

OPENS(open)
OPENS(open64)
