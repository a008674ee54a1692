/* A plan of two kernels made by hand: y = softmax(0.7 relu(a b^T + bias)), with a[M][K], b[N][K], all but the bias in
 * bf16. For sm_80 by gemm_sm80 and softmax, for sm_90a by gemm_sm90, which wants maps of tensors, and softmax. And what
 * tests of the runtime want besides: host memory that is counted, a body that runs in a process of its own. */
#ifndef SINTER_TESTS_GPU_PLAN_H
#define SINTER_TESTS_GPU_PLAN_H
#include "fake_cuda.h"
#include "rt_gpu.h"

enum { PLAN_N = 264, PLAN_K = 72, PLAN_M = 130 /* M at most */ };
enum { SLOT_WEIGHTS, SLOT_ARENA, SLOT_IN, SLOT_OUT, SLOTS };

extern const GpuLimits plan_limits;
/* The kernels as both architectures have them. */
extern const GpuKernel plan_kernels_sm80[2], plan_kernels_sm90[2];
/* PTX that says what the kernels' interfaces are, and no more: all that the fake driver reads of it. By architecture:
 * 80, 90. */
const char *plan_ptx(int sm);

typedef struct Plan { /* of one M, for the image that the device chose */
  GpuCall call;
  GpuStep steps[2];
  GpuArgument arguments[2][7];
  GpuTensor maps[3];
  int64_t dims[1];
} Plan;
void plan_make(Plan *, const GpuDevice *, int M, const CUdeviceptr *base);

uint64_t plan_bytes(int slot, int M);
void plan_weights(void *);                                 /* plan_bytes(SLOT_WEIGHTS) */
void plan_input(void *, int M, uint32_t seed);             /* plan_bytes(SLOT_IN) */
double plan_error(const void *out, int M, const void *in); /* relative, root of the sum of squares, against f64 with the
                                                               product rounded to bf16 */
#define PLAN_RIGHT 3e-3                                    /* bf16: half a unit of 2^-8 at most */

/* ---- processes and host memory ---- */

extern struct PlanHost { /* of sys_alloc */
  int blocks;            /* alive */
  int fail;              /* 1: the next one fails, 2: the one after */
} plan_host;

/* Runs `body` in a child with "NAME=VALUE" set, the fake driver too unless a value says otherwise; the driver is opened
 * once a process. 0: all its checks held; else an exit status, or 1000 + a signal. The list ends in NULL. */
int in_child(void (*body)(void), const char *const *environment);
FakeState fake_state(void);
bool nothing_is_alive(void); /* in the fake driver and of host memory; says what is */
void must_(bool holds, const char *text, const char *file, int line); /* ends the child */
#define MUST(x) must_((x), #x, __FILE__, __LINE__)
void must_say_(int status, int want_status, const char *message, const char *want, const char *file, int line);
#define MUST_SAY(status, want_status, message, want)                                                                   \
  must_say_((status), (want_status), (message), (want), __FILE__, __LINE__)

/* ---- a use of the runtime, checked: in a child ---- */

extern struct PlanTrial {
  GpuDevice *device;
  GpuQueue *queue;
  CUdeviceptr base[SLOTS];
  char message[RT_MESSAGE];
  uint64_t hash; /* of the last result */
  bool may_fail; /* one step may fail if it says why; done again it must succeed */
  int failures;
} trial;
bool trial_failed(int status); /* true: it may be done again */
#define DO(step)                                                                                                       \
  do {                                                                                                                 \
    if (trial_failed(step)) MUST(!(step));                                                                             \
  } while (0)

void trial_begin(const GpuImage *, uint32_t n); /* all slots for PLAN_M, weights uploaded */
void trial_call(int M, uint32_t seed);          /* the result must be right */
void trial_move(int slot);                      /* to other memory; what was in it is lost */
void trial_end(void);                           /* nothing is left */
#endif
