/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seccomp_gen ARCH LIST: compiles vmm/jail/syscalls.def into a C header on stdout: one BPF program
 * for each kind of thread and the names of all system calls of that architecture. It runs while
 * Bothy is built, so that a starting VM needs no library to make its filters.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define WORDS_MAX 8
#define FILTER_BYTES_MAX (4096u * sizeof(struct sock_filter))
#define PROT_EXEC_BIT 4u
#define NUMBERS_MAX 512
#define NAME_SIZE 28u

enum { MAIN, VCPU, WORKER, KINDS };

static const char *const kind_names[KINDS] = {"main", "vcpu", "worker"};
static const unsigned int limits[KINDS] = {40, 20, 20};

struct generator {
    uint32_t arch;
    const char *file;
    unsigned int line;
    scmp_filter_ctx filters[KINDS];
    unsigned int calls[KINDS];
    uint32_t first_request[KINDS]; /* of ioctl, tested before all else; 0: none */
};

__attribute__((format(printf, 2, 3))) static _Noreturn void fail(const struct generator *g,
                                                                 const char *format, ...)
{
    va_list args;

    fprintf(stderr, "%s:%u: ", g->file, g->line);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}

/* What may stand behind the kinds. */
struct extras {
    bool not_exec;
    bool first;
    int argument; /* has to be `value`; -1: any will do */
    uint32_t value;
};

static const struct extras no_extras = {.argument = -1};

static unsigned int kinds_of(const struct generator *g, char **words, int from,
                             struct extras *ret_extras)
{
    unsigned int kinds = 0;

    for (int i = from; i < WORDS_MAX && words[i] != NULL; i++) {
        unsigned int kind = 0;

        if (strcmp(words[i], "not-exec") == 0) {
            ret_extras->not_exec = true;
            continue;
        }
        if (strcmp(words[i], "first") == 0) {
            ret_extras->first = true;
            continue;
        }
        if (sscanf(words[i], "arg%1d=%" SCNu32, &ret_extras->argument, &ret_extras->value) == 2) {
            continue;
        }
        while (kind < KINDS && strcmp(words[i], kind_names[kind]) != 0) {
            kind++;
        }
        if (kind == KINDS) {
            fail(g, "'%s' is no kind of thread: main, vcpu, worker", words[i]);
        }
        kinds |= 1u << kind;
    }
    return kinds;
}

static void allow_request(struct generator *g, char **words)
{
    struct extras extras = no_extras;
    unsigned int kinds = kinds_of(g, words, 2, &extras);
    char *end;
    unsigned long request = strtoul(words[1], &end, 0);

    if (*end != '\0') {
        fail(g, "'%s' is no ioctl request", words[1]);
    }
    for (unsigned int kind = 0; kind < KINDS; kind++) {
        if ((kinds & 1u << kind) != 0 &&
            seccomp_rule_add(g->filters[kind], SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
                             SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffffu, request)) < 0) {
            fail(g, "libseccomp refuses ioctl request %s", words[1]);
        }
        if ((kinds & 1u << kind) != 0 && extras.first) {
            g->first_request[kind] = (uint32_t)request;
        }
    }
}

static void allow_call(struct generator *g, char **words)
{
    struct extras extras = no_extras;
    unsigned int kinds = kinds_of(g, words, 1, &extras);
    /* Rules take the number of the machine that builds, and translate it. */
    int number = seccomp_syscall_resolve_name(words[0]);
    int there = seccomp_syscall_resolve_name_arch(g->arch, words[0]);
    int result = 0;

    if (number == __NR_SCMP_ERROR) {
        fail(g, "there is no system call '%s'", words[0]);
    }
    /* A negative number: other architectures have it. */
    for (unsigned int kind = 0; kind < KINDS && there >= 0; kind++) {
        if ((kinds & 1u << kind) == 0) {
            continue;
        }
        if (++g->calls[kind] > limits[kind] && g->arch == SCMP_ARCH_AARCH64) {
            fail(g, "more than %u system calls for %s", limits[kind], kind_names[kind]);
        }
        if (strcmp(words[0], "ioctl") == 0) {
            continue; /* by request */
        }
        if (extras.not_exec) {
            result = seccomp_rule_add(g->filters[kind], SCMP_ACT_ALLOW, number, 1,
                                      SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC_BIT, 0));
        } else if (extras.argument >= 0) {
            result = seccomp_rule_add(g->filters[kind], SCMP_ACT_ALLOW, number, 1,
                                      SCMP_CMP((unsigned int)extras.argument, SCMP_CMP_MASKED_EQ,
                                               0xffffffffu, extras.value));
        } else {
            result = seccomp_rule_add(g->filters[kind], SCMP_ACT_ALLOW, number, 0);
        }
        if (result < 0) {
            fail(g, "libseccomp refuses '%s': %s", words[0], strerror(-result));
        }
    }
}

static void read_list(struct generator *g)
{
    char line[256];
    FILE *file = fopen(g->file, "r");

    if (file == NULL) {
        fail(g, "%s", strerror(errno));
    }
    while (fgets(line, sizeof(line), file) != NULL) {
        char *words[WORDS_MAX + 1] = {NULL};
        int count = 0;

        g->line++;
        line[strcspn(line, "#\n")] = '\0';
        for (char *word = strtok(line, " \t"); word != NULL && count < WORDS_MAX;
             word = strtok(NULL, " \t")) {
            words[count++] = word;
        }
        if (count == 0) {
            continue;
        }
        if (strcmp(words[0], "ioctl-request") == 0 && count > 2) {
            allow_request(g, words);
        } else {
            allow_call(g, words);
        }
    }
    fclose(file);
}

static void print_instruction(const struct sock_filter *instruction)
{
    printf("    {0x%04x, %u, %u, 0x%08x},\n", instruction->code, instruction->jt, instruction->jf,
           instruction->k);
}

/* The one request that each exit of a guest makes comes before libseccomp's program. Its test
 * begins with an argument: what depends on arguments isn't the same for all calls of a number, so
 * the kernel, setting the filter, needn't run it for each number that there is (about 100,000
 * instructions of a VM's start). */
static void print_first(const struct generator *g, unsigned int kind)
{
    const struct sock_filter test[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, g->first_request[kind], 0, 5),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, g->arch, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
                 (uint32_t)seccomp_syscall_resolve_name_arch(g->arch, "ioctl"), 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };

    for (size_t i = 0; i < sizeof(test) / sizeof(test[0]); i++) {
        print_instruction(&test[i]);
    }
}

static void print_filter(const struct generator *g, unsigned int kind)
{
    static struct sock_filter program[FILTER_BYTES_MAX / sizeof(struct sock_filter)];
    int fd = memfd_create("filter", 0);
    ssize_t size;

    if (fd < 0 || seccomp_export_bpf(g->filters[kind], fd) < 0) {
        fail(g, "libseccomp can't write the filter for %s", kind_names[kind]);
    }
    size = pread(fd, program, sizeof(program), 0);
    close(fd);
    if (size <= 0 || (size_t)size == sizeof(program)) {
        fail(g, "the filter for %s is too long", kind_names[kind]);
    }
    printf("/* %u system calls */\nstatic const struct sock_filter jail_filter_%s[] = {\n",
           g->calls[kind], kind_names[kind]);
    if (g->first_request[kind] != 0) {
        print_first(g, kind);
    }
    for (size_t i = 0; i < (size_t)size / sizeof(program[0]); i++) {
        print_instruction(&program[i]);
    }
    puts("};\n");
}

static void print_names(const struct generator *g)
{
    /* Not pointers: a position-independent program would have to relocate each at its start. */
    printf("static const char jail_call_names[][%u] = {\n", NAME_SIZE);
    for (int number = 0; number < NUMBERS_MAX; number++) {
        char *name = seccomp_syscall_resolve_num_arch(g->arch, number);

        if (name != NULL && strlen(name) >= NAME_SIZE) {
            fail(g, "the name %s is too long for its place", name);
        }
        if (name != NULL) {
            printf("    [%d] = \"%s\",\n", number, name);
        }
        free(name);
    }
    puts("};");
}

int main(int argc, char **argv)
{
    struct generator g = {.line = 0};

    if (argc != 3) {
        fprintf(stderr, "usage: %s ARCH LIST\n", argv[0]);
        return 2;
    }
    g.file = argv[2];
    g.arch = strcmp(argv[1], "aarch64") == 0  ? SCMP_ARCH_AARCH64
             : strcmp(argv[1], "x86_64") == 0 ? SCMP_ARCH_X86_64
                                              : 0;
    if (g.arch == 0) {
        fail(&g, "'%s' is no architecture of Bothy's: aarch64, x86_64", argv[1]);
    }
    /* The filters are for the kernel that will run them, whatever the one that builds can. Level 3
     * has SCMP_ACT_KILL_PROCESS. */
    if (seccomp_api_set(3) != 0) {
        fail(&g, "libseccomp is too old: it needs API level 3");
    }
    for (unsigned int kind = 0; kind < KINDS; kind++) {
        /* What isn't allowed traps, so that the call's name can be told before the end. */
        g.filters[kind] = seccomp_init(SCMP_ACT_TRAP);
        /* A tree: when a filter is set, the kernel runs it once for each call that there is. */
        if (seccomp_attr_set(g.filters[kind], SCMP_FLTATR_CTL_OPTIMIZE, 2) < 0 ||
            seccomp_arch_remove(g.filters[kind], SCMP_ARCH_NATIVE) < 0 ||
            seccomp_arch_add(g.filters[kind], g.arch) < 0 ||
            seccomp_attr_set(g.filters[kind], SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS) < 0) {
            fail(&g, "libseccomp doesn't know %s", argv[1]);
        }
    }
    read_list(&g);
    puts("/* Made by tools/seccomp_gen.c from vmm/jail/syscalls.def. */\n"
         "#include <linux/filter.h>\n");
    for (unsigned int kind = 0; kind < KINDS; kind++) {
        print_filter(&g, kind);
    }
    print_names(&g);
    return 0;
}
