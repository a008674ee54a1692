/* What the files of the emulator share. The running thread is `emu_place`, the first member of its Thread; all state
 * hangs on it. A fault of the kernel is emu_fail: it leaves the kernel for good, and emulator_launch returns false. */
#ifndef SINTER_EMU_H
#define SINTER_EMU_H
#include "emulated.h"
#include "emu_fiber.h"
#include "emu_race.h"

enum {
  WARP = 32,
  WARPGROUP = 128,
  MAX_THREADS = 1024,
  BARRIERS = 16,
  STACK_BYTES = 64 << 10,
  /* From stack to stack: were it a power of two, the tops of all stacks would meet in a few sets of the caches. */
  STACK_STRIDE = STACK_BYTES + 13 * 64
};

typedef struct Launch Launch;
typedef struct Block Block;
typedef struct Warp Warp;
typedef struct Warpgroup Warpgroup;

/* One cp.async of a thread; one bulk store. */
typedef struct Copy {
  void *to;
  const void *from;
  u32 bytes;
  int group;
  void *pc;
} Copy;
typedef struct BulkStore {
  TensorMap map;
  const u8 *from;
  size_t bytes;
  i32 at[5];
  int group;
  u8 *read;             /* what was read of shared memory, once that has happened; malloc'ed */
  bool written, waited; /* the tensor; waited: the thread has waited at least for the reading */
  const EmuSite *site;
  void *race, *async_race, *pc;
} BulkStore;
enum { MAX_COPIES = 512, COPY_FIBERS = 4, MAX_STORES = 32 };

typedef struct Thread {
  EmuPlace place; /* first: emu_place points here */
  Block *block;
  Warp *warp;
  int index; /* in the block, x fastest */
  bool done;
  Fiber fiber;
  void *race;
  const void *waits_on; /* NULL: runs or is ready */
  const char *waits_for;
  const EmuSite *site; /* where it waits */
  int n_copies, copy_group, n_stores, store_group;
  void *copy_race[COPY_FIBERS]; /* of group g at g % COPY_FIBERS */
  char stores_read;             /* what bulk_wait acquires */
  Copy copy[MAX_COPIES];        /* last: most threads touch one page of themselves */
  BulkStore store[MAX_STORES];
} Thread;

/* What arrivals knew, and what TMA and wgmma may rely on after them (Warp.async_race). */
typedef struct Known {
  char ordinary, async;
} Known;

typedef struct Barrier {
  u32 want, arrived; /* want 0: all threads that live */
  const EmuSite *site;
  unsigned phase;
  Known known[2]; /* by phase: a fast thread may already arrive at the next */
} Barrier;

/* An operation that all lanes of a mask do together. The slot is taken until all have left. */
typedef enum {
  WARP_SYNC = 1,
  WARP_SHUFFLE,
  WARP_LDMATRIX,
  WARP_LDMATRIX_TRANS,
  WARP_STMATRIX,
  WARP_STMATRIX_TRANS,
  WARP_MMA
} WarpKind;
typedef struct WarpOp {
  u32 mask, arrived, left; /* mask 0: free */
  WarpKind kind;
  EmuType type;
  const EmuSite *site;
  u64 value[WARP][2];
  u32 a[WARP][4], b[WARP][2], *r[WARP], row[WARP];
  float *d[WARP];
  Known known;
} WarpOp;
enum { MAX_WARP_OPS = 8 };
struct Warp {
  void *async_race;
  u32 live; /* lanes that have not ended */
  int index;
  WarpOp op[MAX_WARP_OPS];
};

/* A bulk load of a block, until it lands. */
typedef struct BulkLoad {
  TensorMap map;
  u8 *to;
  u64 *barrier;
  i32 at[5];
  void *race, *pc;
  const EmuSite *site;
} BulkLoad;
enum { MAX_LOADS = 1024, MAX_RACE_FIBERS = 6000, KEPT_FIBERS = 2048 };

struct Block {
  Block *next; /* of idle ones */
  Launch *launch;
  EmuIndex index;
  int n_threads, n_live;
  u8 *shared, *stacks;
  Thread *thread;
  Warp warp[MAX_THREADS / WARP];
  Warpgroup *warpgroup;
  Barrier barrier[BARRIERS];
  BulkLoad load[MAX_LOADS];
  int n_loads;
  void *race[MAX_RACE_FIBERS]; /* all fibers of the sanitizer's that were made for it */
  int n_race;
};

struct Launch {
  const EmulatorKernel *kernel;
  const EmulatorLaunch *request;
  EmulatorReport *report;
  void *params[EMULATOR_MAX_PARAMS];
  u32 random;
  Fiber host;
  void *host_race;
  Block *block; /* the one that runs */
  Thread *ready[MAX_THREADS];
  int first_ready, n_ready;
  u64 known[KEPT_FIBERS]; /* what a kept fiber begins with (emu_race_new) */
  bool failed;
};

static inline Thread *emu_thread(void) { return (Thread *)emu_place; }
static inline EmulatorCounters *emu_counters(void) { return &emu_thread()->block->launch->report->counters; }

/* ---- emu_launch.c ---- */
_Noreturn void emu_fail(const EmuSite *, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool emu_chance(u32 one_in); /* the seed says so; never with seed 0 */
u32 emu_random(u32 below);
bool emu_lazy(void);
void emu_wait(const void *object, const char *what, const EmuSite *); /* until emu_wake names the object */
void emu_wake(Block *, int first, int n, const void *object);         /* those of n threads from the first */
void emu_yield(void);                                                 /* lets others run */
/* A fiber of the sanitizer's that knows what the caller knows. It is taken for nothing else in this launch: the
 * sanitizer takes a new fiber in an old one's place for the old one. */
void *emu_race_new(Block *);
/* For the async proxy a warp has a fiber of its own (one for each thread would be too many for clang's runtime), which
 * knows less than its threads: what a thread of it knew at its last fence_proxy_async, what other warps' fibers told
 * this one at barriers, and bulk loads that have landed. What TMA and wgmma read is read twice: by a fiber made of the
 * issuing thread's, and by one made of this. */
void *emu_race_new_async(Thread *);
void emu_release(Known *); /* by both of the running thread's */
void emu_acquire(Known *);

/* ---- the others ---- */
void emu_barriers_recheck(Block *); /* a thread has ended */
void emu_warp_lane_ends(Thread *);  /* fails if others wait for it */
void emu_cp_async_finish(Thread *); /* a thread has ended: all of its copies land */
void emu_bulk_finish(Thread *);     /* and its stores */
void emu_bulk_forget(Thread *);     /* a thread was abandoned */
void emu_bulk_land(Block *);        /* one bulk load lands */
void emu_mbarrier_complete(Block *, u64 *barrier, u32 bytes, const EmuSite *);
u8 *emu_swizzled(u8 *base, size_t offset, int swizzle_bytes); /* base: a multiple of 8 times the swizzle */
size_t emu_warpgroups_size(void);
void emu_warpgroups_end(Block *);
float emu_element(EmuType, const u8 *); /* as f32; tf32: its low 13 bits dropped */
#endif
