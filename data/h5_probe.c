/* HDF5 1.10 crashes, or takes all memory or time, on some damaged files. So a child process opens the file first, with
 * limits, and looks at all that opening looks at: objects, their types, sizes and attributes. What is read later is
 * guarded in other ways: nodes of trees by data/h5_tree.c, content by checksums. */
#include "data/h5_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CPU_SECONDS = 20, MOST_TEXT = 65536, OPENS = 0, REFUSED = 9, DAMAGED = 10 };
static const rlim_t extra_memory = (rlim_t)1 << 30;

static herr_t look_at_attribute(hid_t object, const char *name, const H5A_info_t *info, void *user) {
    static char value[MOST_TEXT];
    (void)info, (void)user;
    hid_t attribute = H5Aopen(object, name, H5P_DEFAULT);
    if (attribute < 0) return 0;
    hid_t type = H5Aget_type(attribute), space = H5Aget_space(attribute);
    hssize_t count = H5Sget_simple_extent_npoints(space);
    size_t size = H5Tget_size(type);
    bool plain = H5Tdetect_class(type, H5T_VLEN) <= 0 && H5Tis_variable_str(type) <= 0;
    if (plain && count == 1 && size <= MOST_TEXT) H5Aread(attribute, type, value);
    H5Sclose(space);
    H5Tclose(type);
    H5Aclose(attribute);
    return 0;
}

typedef struct look {
    lt_h5 *h5;
    lt_status status;
} look;

/* Walks the tree of chunks, each node of which is checked on its way in: a writer's nodes are not (data/h5_tree.h). */
static void walk_chunks(look *l, hid_t set, const char *name) {
    hsize_t count;
    hid_t space = H5Dget_space(set);
    if (H5Dget_num_chunks(set, space, &count) < 0)
        l->status = lt_h5_fail(l->h5, LT_INPUT, "find the chunks of", name);
    H5Sclose(space);
}

static herr_t look_at_object(hid_t group, const char *name, const H5L_info_t *info, void *user) {
    look *l = user;
    if (info->type != H5L_TYPE_HARD) return 0;
    hid_t object = H5Oopen(group, name, H5P_DEFAULT);
    if (object < 0) return 0;
    H5Aiterate2(object, H5_INDEX_NAME, H5_ITER_NATIVE, NULL, look_at_attribute, NULL);
    if (H5Iget_type(object) == H5I_DATASET) {
        hid_t create = H5Dget_create_plist(object);
        if (l->h5->append && H5Pget_layout(create) == H5D_CHUNKED) walk_chunks(l, object, name);
        H5Pclose(create);
        H5Tclose(H5Dget_type(object));
        H5Sclose(H5Dget_space(object));
    }
    H5Oclose(object);
    return l->status == LT_OK ? 0 : 1;
}

/* Memory is limited from what the parent has: a GPU's driver reserves far more than it uses. */
static void set_limits(void) {
    struct rlimit none = {0, 0}, time = {CPU_SECONDS, CPU_SECONDS}, memory;
    long pages = 0;
    FILE *statm = fopen("/proc/self/statm", "re");
    if (statm && fscanf(statm, "%ld", &pages) == 1) {
        memory.rlim_cur = memory.rlim_max = (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE) + extra_memory;
        setrlimit(RLIMIT_AS, &memory);
    }
    setrlimit(RLIMIT_CORE, &none);
    setrlimit(RLIMIT_CPU, &time);
    static const int fatal[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGXCPU};
    for (size_t i = 0; i < sizeof fatal / sizeof *fatal; i++) signal(fatal[i], SIG_DFL);
    int silence = open("/dev/null", O_WRONLY | O_CLOEXEC); /* the C library says what it found on the heap */
    if (silence >= 0) dup2(silence, STDERR_FILENO);
}

static _Noreturn void child(lt_h5 *h5, int report) {
    look l = {h5, LT_OK};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    lt_jfile_forked(h5->journal);
    set_limits();
    hid_t file = lt_h5_driver_open(h5->journal, h5->path, H5F_ACC_RDONLY);
    if (file < 0) _exit(REFUSED);
    H5Literate(file, H5_INDEX_NAME, H5_ITER_NATIVE, NULL, look_at_object, &l);
    H5Aiterate2(file, H5_INDEX_NAME, H5_ITER_NATIVE, NULL, look_at_attribute, NULL);
    if (l.status == LT_OK) _exit(OPENS);
    ssize_t sent = write(report, lt_error(), strlen(lt_error())); /* fits a pipe */
    _exit(sent > 0 ? DAMAGED : REFUSED);
}

/* The memory that some networks' drivers have registered does not survive a fork. */
static bool is_rank(void) { return getenv("OMPI_COMM_WORLD_SIZE") || getenv("PMI_SIZE"); }

/* What the child refused without a word, opening refuses again, with the reason. */
static lt_status judge(const lt_h5 *h5, int state, int report) {
    char text[2048];
    bool ended = WIFEXITED(state);
    if (ended && (WEXITSTATUS(state) == OPENS || WEXITSTATUS(state) == REFUSED)) return LT_OK;
    ssize_t length = ended && WEXITSTATUS(state) == DAMAGED ? read(report, text, sizeof text - 1) : 0;
    if (length > 0) return lt_fail(LT_INPUT, "%.*s", (int)length, text);
    int with = WIFSIGNALED(state) ? WTERMSIG(state) : 0;
    return lt_fail(LT_INPUT, "%s: damaged: the HDF5 library %s over it", h5->path,
                   with == SIGXCPU || with == SIGKILL ? "does not come to an end" : "crashes");
}

lt_status lt_h5_probe(lt_h5 *h5) {
    int state = 0, report[2];
    if (is_rank()) return LT_OK;
    LT_CHECK(pipe2(report, O_CLOEXEC) == 0, LT_FAILED, "%s: no pipe: %s", h5->path, strerror(errno));
    pid_t pid = fork();
    int reason = errno;
    if (pid == 0) child(h5, report[1]);
    close(report[1]);
    lt_status status = LT_OK;
    if (pid < 0)
        status = lt_fail(LT_FAILED, "%s: no process to try this file in: %s", h5->path, strerror(reason));
    else if (TEMP_FAILURE_RETRY(waitpid(pid, &state, 0)) == pid) status = judge(h5, state, report[0]);
    close(report[0]);
    return status;
}
