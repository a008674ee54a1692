/* `sinter cuda`: kernels in CUDA C compiled by NVRTC, for those who write them. */
#include "cli.h"
#include "compiler.h"
#include <stdio.h>
#include <stdlib.h>

static const char HELP[] =
    "usage: sinter cuda FILE.cu ... [OPTION ...]\n"
    "       sinter cuda --where\n"
    "\n"
    "Compiles kernels in CUDA C, without a GPU, and prints registers, memory and instructions of each. A tool for\n"
    "those who write the compiler's kernels; models are compiled for GPUs by `sinter compile --gpu`.\n"
    "  --arch A,B,...  architectures (default: sm_80,sm_90a); compute_80 and the like give PTX\n"
    "  -o DIR          writes DIR/FILE.ARCH.cubin and .ptx\n"
    "  --audit         fails if a kernel spills registers, uses local memory, or ptxas has advice on its performance\n"
    "  --least I=N ... fails if a kernel has fewer than N of an instruction: HGMMA=4, LDG.128=2, KERNEL:MUFU=1\n"
    "  -D NAME=VALUE ...   defines of the preprocessor\n"
    "  -I DIR ...      folders of headers, beside those of the files\n"
    "  -j N            processes at once (default: one a processor)\n"
    "  --seconds N     time limit of a compilation (default: 120)\n"
    "  --where         prints which NVRTC is used, and its architectures\n"
    "NVRTC is looked for where SINTER_NVRTC says (a file or a folder), else in CUDA_HOME, /usr/local/cuda, the "
    "system's\n"
    "libraries, VIRTUAL_ENV and nvrtc-venv beside this program (`./dev test nvrtc` makes it).\n"
    "\n"
    "Exit status: 0 done; 1 a compilation or the audit failed; 2 the command line is wrong.\n";

static void push_options(const char **to, int *n, Arena *a, const char *letter, const Words *words) {
  for (int i = 0; i < words->n; i++) to[(*n)++] = arena_printf(a, "%s%s", letter, words->at[i]);
}

static int set_number(int *to, const char *option, const char *text) {
  int64_t n = 0;
  if (text && !number_read_int(text, 1, 10000, &n))
    return cli_usage("%s wants a number from 1 to 10000, not \"%s\"", option, text);
  *to = (int)n;
  return CLI_DONE;
}

static int finish(Ctx *c, bool ok, const Buf *text) {
  Buf said = {0};
  if (text->n) fwrite(text->at, 1, text->n, stdout);
  fflush(stdout);
  diag_print(c->diag, &said);
  if (said.n) fwrite(said.at, 1, said.n, stderr);
  buf_free(&said);
  return ok ? CLI_DONE : CLI_FAILED;
}

static int cmd_cuda(int argc, char **argv) {
  Ctx c = ctx_new();
  CudaCommand q = {0};
  const char *jobs = NULL, *seconds = NULL, **room = ARENA_ARRAY(c.arena, const char *, 5 * argc + 1);
  Words files = {room, 0}, least = {room + argc, 0}, defines = {room + 2 * argc, 0}, folders = {room + 3 * argc, 0};
  bool where = false;
  const Option options[] = {
      {"--arch", &q.archs, NULL, NULL}, {"-o", &q.output, NULL, NULL},       {"--audit", NULL, &q.audit, NULL},
      {"--least", NULL, NULL, &least},  {"-D", NULL, NULL, &defines},        {"-I", NULL, NULL, &folders},
      {"-j", &jobs, NULL, NULL},        {"--seconds", &seconds, NULL, NULL}, {"--where", NULL, &where, NULL}};
  int status = cli_options(argc, argv, options, sizeof options / sizeof *options, &files);
  if (!status) status = set_number(&q.jobs, "-j", jobs);
  if (!status) status = set_number(&q.seconds, "--seconds", seconds);
  if (!status && where && files.n) status = cli_usage("--where takes no file");
  if (!status && !where && !files.n) status = cli_usage("which kernels? Name their files, FILE.cu");
  if (!q.archs) q.archs = "sm_80,sm_90a";
  q.files = files.at;
  q.nfiles = files.n;
  q.least = least.at;
  q.nleast = least.n;
  if (least.n) q.audit = true;
  q.options = room + 4 * argc;
  push_options(room + 4 * argc, &q.noptions, c.arena, "-D", &defines);
  push_options(room + 4 * argc, &q.noptions, c.arena, "-I", &folders);
  if (!status) {
    Buf text = {0};
    bool ok = where ? cuda_where(&c, &text) : cuda_command(&c, &q, &text);
    status = finish(&c, ok, &text);
    buf_free(&text);
  }
  ctx_free(&c);
  return status;
}

const Command command_cuda = {"cuda", "compiles kernels in CUDA C: for those who write them", cmd_cuda, HELP};
