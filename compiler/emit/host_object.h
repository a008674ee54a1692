/* The object that joins the generated code, the description and the runtime in one artefact. It defines, hidden:
 * sinter_model, sinter_consts, sinter_kernels and sinter_image (runtime/abi.h), and exports PREFIX_ functions, each
 * a jump into the runtime, and one that gives its SinterApi. */
#ifndef SINTER_EMIT_HOST_OBJECT_H
#define SINTER_EMIT_HOST_OBJECT_H
#include "emitter.h"
#include "host_blob.h"

typedef struct HostForward { /* an exported function that ends in a call of a hidden one of the same arguments */
  const char *name, *to;
  const char *signature; /* result, then arguments: v nothing, p pointer, i int, l 64 bits: "ippl" */
  bool numbered;         /* `to` has one argument more, the second: this number */
  uint32_t number;
} HostForward;

typedef struct HostRequest {
  const HostBlob *blob;
  const HostForward *forwards;
  int nforwards;
  const char *explain;  /* text for the section SINTER_EXPLAIN_SECTION (abi.h), which is not loaded; NULL: none */
  const char *query;    /* the SinterQuery: sinter_query_v1, which is looked up in a file, or PREFIX_query_v1 */
  const Target *target; /* its arch counts, not its level: forwards run on every processor */
  Arena *arena;         /* of the result */
} HostRequest;

/* The exported functions of an artefact, in the order of the header. */
typedef Vec(HostForward) HostForwards;
void host_forwards(const HostLayout *, HostForwards *out);

bool emit_host(const HostRequest *, EmitResult *out); /* llvm_host.c, behind SinterEmitter */
#endif
