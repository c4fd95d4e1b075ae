/* A fault injector for LD_PRELOAD: counts the calls that a process makes into the C library for files, and lets one of
 * them fail.
 *
 *     FAULT_OPS=open,write   which calls count (the names in `ops`); all: every one
 *     FAULT_N=7              which of them fails; 0: none
 *     FAULT_MODE=EIO         how: EIO, ENOSPC, EINTR (the call does nothing), short (half of a transfer is done)
 *     FAULT_COUNT=FILE       where the number of calls goes when the process ends, and the name of the one that failed
 *     FAULT_ANY=1            calls of libraries count too, not only those of the program itself
 *
 * Standard input, output and error are left alone. A close that fails has closed. EINTR and short are only what these
 * calls can say: others of them go on as if nothing were.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

typedef enum op {
    OPEN,
    OPENR,
    READ,
    WRITE,
    FSYNC,
    RENAME,
    CLOSE,
    TRUNCATE,
    UNLINK,
    MKDIR,
    LINK,
    FOPEN,
    FWRITE,
    FCLOSE,
    MMAP,
    OPS
} op;
static const char *const names[OPS] = {"open",   "openr", "read",     "write",  "fsync",
                                       "rename", "close", "truncate", "unlink", "mkdir",
                                       "link",   "fopen", "fwrite",   "fclose", "mmap"};

static unsigned wanted;
static long target, *calls; /* of this process and those that it forks */
static op failed = OPS;
static int error; /* 0: a short transfer */
static bool any, ready;
static const char *count_file;
static uintptr_t code_begin[8], code_end[8]; /* of the program itself */
static int code_ranges;

static int note_program(struct dl_phdr_info *info, size_t size, void *user) {
    (void)size, (void)user;
    if (info->dlpi_name && *info->dlpi_name) return 0;
    for (int i = 0; i < info->dlpi_phnum && code_ranges < 8; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        if (part->p_type != PT_LOAD || !(part->p_flags & PF_X)) continue;
        code_begin[code_ranges] = info->dlpi_addr + part->p_vaddr;
        code_end[code_ranges] = code_begin[code_ranges] + part->p_memsz;
        code_ranges++;
    }
    return 0;
}

static bool listed(const char *list, const char *name) {
    size_t length = strlen(name);
    for (const char *at = list; (at = strstr(at, name)); at += length)
        if ((at == list || at[-1] == ',') && (at[length] == ',' || !at[length])) return true;
    return strcmp(list, "all") == 0 && strcmp(name, "mmap") != 0;
}

__attribute__((constructor)) static void begin(void) {
    const char *list = getenv("FAULT_OPS"), *n = getenv("FAULT_N"), *mode = getenv("FAULT_MODE");
    if (!list) return;
    for (int i = 0; i < OPS; i++) wanted |= listed(list, names[i]) ? 1u << i : 0;
    target = n ? atol(n) : 0;
    any = getenv("FAULT_ANY") != NULL;
    count_file = getenv("FAULT_COUNT");
    error = !mode || !strcmp(mode, "EIO") ? EIO
            : !strcmp(mode, "ENOSPC")     ? ENOSPC
            : !strcmp(mode, "EINTR")      ? EINTR
                                          : 0;
    dl_iterate_phdr(note_program, NULL);
    calls = (long *)syscall(SYS_mmap, NULL, sizeof *calls, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                            -1, 0);
    ready = calls != MAP_FAILED;
}

__attribute__((destructor)) static void end(void) {
    char text[32];
    if (!ready || !count_file) return;
    int file = (int)syscall(SYS_openat, AT_FDCWD, count_file, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    int length = snprintf(text, sizeof text, "%ld %s\n", *calls, failed < OPS ? names[failed] : "-");
    if (syscall(SYS_write, file, text, length) != length) _exit(99);
    syscall(SYS_close, file);
}

/* Whether this call, made from `caller`, is the one that fails. */
static bool fails(op kind, void *caller) {
    if (!ready || !(wanted & 1u << kind)) return false;
    bool own = any;
    for (int i = 0; i < code_ranges; i++)
        own = own || ((uintptr_t)caller >= code_begin[i] && (uintptr_t)caller < code_end[i]);
    bool now = own && __atomic_add_fetch(calls, 1, __ATOMIC_RELAXED) == target;
    if (now) failed = kind;
    return now;
}

/* A call that knows neither EINTR nor short transfers. */
static bool breaks(op kind, void *caller) { return fails(kind, caller) && error != 0 && error != EINTR; }

#define CALLER __builtin_return_address(0)
#define NEXT(result, name, ...)                                                                              \
    static result (*next)(__VA_ARGS__);                                                                      \
    if (!next) next = (result(*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)
#define FAIL(result) return errno = error, (result)

#define DEFINE_OPEN(name)                                                                                    \
    int name(const char *path, int flags, ...) {                                                             \
        NEXT(int, name, const char *, int, ...);                                                             \
        va_list rest;                                                                                        \
        va_start(rest, flags);                                                                               \
        mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, mode_t) : 0;                            \
        va_end(rest);                                                                                        \
        bool writes = flags & (O_WRONLY | O_RDWR | O_CREAT);                                                 \
        if (breaks(writes ? OPEN : OPENR, CALLER)) FAIL(-1);                                                 \
        return next(path, flags, mode);                                                                      \
    }
DEFINE_OPEN(open)
DEFINE_OPEN(open64)

/* Transfers: half is done, or nothing. */
#define DEFINE_TRANSFER(name, kind, memory, extra_declared, extra)                                           \
    ssize_t name(int file, memory data, size_t size extra_declared) {                                        \
        NEXT(ssize_t, name, int, memory, size_t extra_declared);                                             \
        if (file > 2 && fails(kind, CALLER)) {                                                               \
            if (error) FAIL(-1);                                                                             \
            size = size > 1 ? size / 2 : size;                                                               \
        }                                                                                                    \
        return next(file, data, size extra);                                                                 \
    }
#define COMMA_OFFSET_DECLARED , off_t offset
#define COMMA_OFFSET          , offset
#define NOTHING
DEFINE_TRANSFER(read, READ, void *, NOTHING, NOTHING)
DEFINE_TRANSFER(write, WRITE, const void *, NOTHING, NOTHING)
DEFINE_TRANSFER(pread, READ, void *, COMMA_OFFSET_DECLARED, COMMA_OFFSET)
DEFINE_TRANSFER(pread64, READ, void *, COMMA_OFFSET_DECLARED, COMMA_OFFSET)
DEFINE_TRANSFER(pwrite, WRITE, const void *, COMMA_OFFSET_DECLARED, COMMA_OFFSET)
DEFINE_TRANSFER(pwrite64, WRITE, const void *, COMMA_OFFSET_DECLARED, COMMA_OFFSET)

/* Calls that a signal may interrupt, or not. */
#define DEFINE(name, kind, test, declared, passed)                                                           \
    int name declared {                                                                                      \
        NEXT(int, name, DECLARED declared);                                                                  \
        if (test(kind, CALLER)) FAIL(-1);                                                                    \
        return next passed;                                                                                  \
    }
#define DECLARED(...) __VA_ARGS__
static bool interrupts(op kind, void *caller) { return fails(kind, caller) && error != 0; }
DEFINE(fsync, FSYNC, interrupts, (int file), (file))
DEFINE(fdatasync, FSYNC, interrupts, (int file), (file))
DEFINE(ftruncate, TRUNCATE, interrupts, (int file, off_t size), (file, size))
DEFINE(ftruncate64, TRUNCATE, interrupts, (int file, off_t size), (file, size))
DEFINE(rename, RENAME, breaks, (const char *from, const char *to), (from, to))
DEFINE(unlink, UNLINK, breaks, (const char *path), (path))
DEFINE(remove, UNLINK, breaks, (const char *path), (path))
DEFINE(rmdir, UNLINK, breaks, (const char *path), (path))
DEFINE(mkdir, MKDIR, breaks, (const char *path, mode_t mode), (path, mode))
DEFINE(symlink, LINK, breaks, (const char *to, const char *path), (to, path))
DEFINE(link, LINK, breaks, (const char *from, const char *to), (from, to))

int close(int file) {
    NEXT(int, close, int);
    if (file <= 2 || !breaks(CLOSE, CALLER)) return next(file);
    next(file);
    FAIL(-1);
}

#define DEFINE_FOPEN(name)                                                                                   \
    FILE *name(const char *path, const char *mode) {                                                         \
        NEXT(FILE *, name, const char *, const char *);                                                      \
        if (breaks(FOPEN, CALLER)) FAIL(NULL);                                                               \
        return next(path, mode);                                                                             \
    }
DEFINE_FOPEN(fopen)
DEFINE_FOPEN(fopen64)

/* As the C library leaves a stream whose file has failed. */
static void mark(FILE *file) {
    enum { ERROR_SEEN = 0x20 }; /* glibc's _IO_ERR_SEEN */
    file->_flags |= ERROR_SEEN;
}

/* Not a stream in memory. */
static bool on_disk(FILE *file) { return file != stdout && file != stderr && fileno(file) > 2; }

size_t fwrite(const void *data, size_t size, size_t count, FILE *file) {
    NEXT(size_t, fwrite, const void *, size_t, size_t, FILE *);
    if (on_disk(file) && breaks(FWRITE, CALLER)) {
        mark(file);
        FAIL(0);
    }
    return next(data, size, count, file);
}

int fflush(FILE *file) {
    NEXT(int, fflush, FILE *);
    if (file && on_disk(file) && breaks(FWRITE, CALLER)) {
        mark(file);
        FAIL(EOF);
    }
    return next(file);
}

int fclose(FILE *file) {
    NEXT(int, fclose, FILE *);
    if (!on_disk(file) || !breaks(FCLOSE, CALLER)) return next(file);
    next(file);
    FAIL(EOF);
}

void *mmap(void *at, size_t size, int protection, int flags, int file, off_t offset) {
    NEXT(void *, mmap, void *, size_t, int, int, int, off_t);
    if (file > 2 && breaks(MMAP, CALLER)) FAIL(MAP_FAILED);
    return next ? next(at, size, protection, flags, file, offset)
                : (void *)syscall(SYS_mmap, at, size, protection, flags, file, offset);
}
