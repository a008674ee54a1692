/* The description of an artefact while it is written: bytes that records are appended to, where equal texts, lists and
 * formulas stand once. host_blob.c writes what processors run, host_gpu.c what GPUs do. */
#ifndef SINTER_EMIT_HOST_BYTES_H
#define SINTER_EMIT_HOST_BYTES_H
#include "abi.h"
#include "gpu_code.h"
#include "host_layout.h"

typedef struct TextAt {
  const char *text;
  uint32_t at;
} TextAt;

typedef struct ListAt {
  uint32_t at;
  uint64_t bytes;
} ListAt;

typedef struct SymAt {
  Sym sym;
  SinterSym at;
} SymAt;

typedef struct Used { /* a stage that some plan launches */
  int level, kernel, stage;
} Used;

typedef struct Blob {
  Ctx *c;
  const HostLayout *layout;
  const Unit *unit;
  const LevelUnit *levels;
  int nlevels;
  const GpuCode *gpu; /* archs.n 0: none */
  uint8_t *at;
  uint64_t n, cap;
  Vec(TextAt) texts;
  Vec(Used) used;
  Vec(SinterPlan) plans, gpu_plans;
  Vec(SinterCode) code;  /* of the Sym being written */
  Vec(SymAt) syms;       /* written: plans of several levels share most of them */
  Vec(ListAt) lists;     /* of records, written */
  uint32_t level;        /* of the plan being written, as an index */
  uint32_t *gpu_plan_of; /* host_gpu_plan() */
  bool too_big;
} Blob;

uint32_t blob_bytes(Blob *, const void *, uint64_t n, uint64_t align); /* where they stand */
SinterText blob_text(Blob *, const char *);                            /* NULL and "": 0 */
SinterSym blob_sym(Blob *, Sym);                                       /* 0: the number 0 */
SinterRef blob_records(Blob *, const void *, uint32_t n, size_t size);
#define BLOB_LIST(b, vec) blob_records(b, (vec).at, (vec).n, sizeof *(vec).at)

SinterView blob_view(Blob *, const Plan *, const View *);
SinterView blob_view_at(Blob *, const Plan *, const View *, Sym beyond); /* so many bytes behind its start */
/* Where the buffers of a plan lie. first_derived: how many derived buffers stand before those of its level. */
SinterRef blob_bufs(Blob *, const LevelUnit *, const EntryPlan *, uint32_t first_derived);
#endif
