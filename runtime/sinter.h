/* libsinter: what tools use that open artefacts they know nothing about. Opening checks the last bytes of the file, its
 * length and its checksum before the system's loader may touch it, then every record of the description, so that what
 * is reached through the accessors below lies inside and is well formed. An artefact is code all the same: open those
 * you trust. Functions that return bool write one sentence to `why` (of SINTER_WHY bytes) when they return false. Also
 * here: reading and writing .npy files, and conversion between element types. */
#ifndef SINTER_H
#define SINTER_H
#include "abi.h"
#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif
enum { SINTER_WHY = 1024 };

/* ---- artefacts ---- */
typedef struct SinterArtefact {
  const SinterApi *api;     /* its functions: see below */
  const SinterModel *model; /* its description */
  void *handle;             /* of dlopen, for dlsym */
  void *copy;               /* of the description, after sinter_artefact_read */
  uint64_t bytes;           /* of the file */
  uint32_t machine;         /* SINTER_MACHINE_* */
  bool program;             /* it is run, not loaded */
} SinterArtefact;

bool sinter_artefact_open(SinterArtefact *, const char *path, char *why); /* refused: programs, other machines */
/* The description alone, of an artefact for any machine: none of its code is loaded, api is NULL. */
bool sinter_artefact_read(SinterArtefact *, const char *path, char *why);
bool sinter_artefact_is_program(const char *path); /* false also when it is no artefact */
void sinter_artefact_close(SinterArtefact *);      /* after all its weights and contexts are closed */

/* Checks a file's tail only: magic, version, length, checksum; nothing of it is loaded. Gives the bytes of the file and
 * the machine it is for; either may be NULL. */
bool sinter_artefact_verify(const char *path, uint64_t *bytes, uint32_t *machine, char *why);
/* What `sinter explain` prints, left in the file by the compiler; nothing of it is loaded. *text: released by free().
 */
bool sinter_artefact_explain(const char *path, char **text, char *why);
/* Checks a description of `bytes` bytes. */
bool sinter_model_check(const SinterModel *, uint64_t bytes, char *why);

/* The functions of SinterApi promise: a status (enum sinter_status); other than SINTER_OK nothing was changed and a
 * sentence says why: in message(context) for call and threads, in open_message(weights) for the others. A failed open
 * gives an object all the same, for its message, to be closed; a failed create gives NULL.
 *   open: start values, or the file's. Parameters and states of modules must be in the file; counters (integers of rank
 *     0) and states whose first path part has no parameter (optimizers) begin with their start value if they are not,
 *     other tensors are ignored, both with a note in open_message. All names may lack the model's root, or have one
 * more before them. With a file and seed 0, the seed is the one that was saved in it. save: to a temporary file that
 * then takes the name. Also saves the seed, and per entry the highest call number. workspace, create: `max_dims` bounds
 * the dimensions of later calls. Memory of the caller's must be aligned to 64 and hold workspace(max_dims, 1) bytes;
 * what it holds above that bounds the number of threads. call: `in` and `out` are the structs of the generated header:
 * pointers and int64_t dimensions at SinterPort.field and SinterDim.field. An entry that updates takes the weights
 * alone, others share them, else BUSY. One call at a time in a context. Every call of a RANDOM entry that returns OK
 * raises its call number by one. Different contexts may be used by different threads at once. After fork the child may
 * go on with what was not in the middle of a call. to: moves weights that no call is using; contexts that were made
 * before are refused then, others run there. On a GPU inputs and outputs may be memory of the host's or of that GPU's.
 */

static inline const char *sinter_text(const SinterModel *m, SinterText t) { return (const char *)m + t; }
static inline const void *sinter_at(const SinterModel *m, uint32_t at) { return (const char *)m + at; }
#define SINTER_LIST(T, model, ref) ((const T *)sinter_at((model), (ref).at))
bool sinter_sym(const SinterModel *, SinterSym, const int64_t *dims, int64_t *out); /* false: overflow, division by 0 */

/* The formula as text, `4 * (B // 2) + N`; cut off at `room` bytes. Returns `out`. */
char *sinter_sym_text(const SinterModel *, SinterSym, char *out, size_t room);

const char *sinter_status_text(int status);    /* "a wrong shape" */
const char *sinter_dtype_text(uint32_t dtype); /* "f32"; "?" if there is no such type */
uint32_t sinter_dtype_size(uint32_t dtype);    /* bytes; 0 if there is no such type */
const char *sinter_level_text(uint32_t level); /* "v3" */
/* "sm_90a", "compute_80" into `out` of SINTER_GPU_TEXT bytes, which it returns */
enum { SINTER_GPU_TEXT = 24 };
char *sinter_gpu_text(const SinterGpuImage *, char *out);
const char *sinter_machine_text(uint32_t machine);         /* "aarch64"; "?" if it is not known */
uint32_t sinter_machine(void);                             /* that this runs on; 0: one that has no artefacts */
uint64_t sinter_crc64(const void *, size_t, uint64_t crc); /* CRC-64/XZ; begin with 0 */

/* ---- weights ---- */
typedef struct SinterStored { /* a weight file as an artefact of the model holds it, for the compiler */
  unsigned char *cells;       /* the storage of all cells; zeros where the file has nothing */
  uint8_t *given;             /* by cell: 1: its data are in the file */
  uint64_t seed, *calls;      /* the saved seed, or 0; the call numbers by entry */
  char note[SINTER_WHY];      /* as open_message: what is missing, what is too much; "" if nothing */
} SinterStored;

/* Reads and checks as SinterApi.open does; sinter_stored_free. */
bool sinter_stored_read(SinterStored *, const SinterModel *, const char *path, char *why);
void sinter_stored_free(SinterStored *);

/* ---- arrays ---- */
typedef struct NpyArray {
  uint32_t dtype, rank;
  int64_t dim[SINTER_MAX_RANK];
  int64_t count; /* of elements */
  void *data;    /* row-major; released by npy_free */
} NpyArray;

/* Versions 1 to 3; either order of axes (the data then are put in row order); little-endian bool, integers and floats.
 * NumPy has no bf16: here, as with the package ml_dtypes, its element type is '<V2', two bytes of no known kind. */
bool npy_read(NpyArray *, const char *path, char *why);
bool npy_parse(NpyArray *, const char *name, const void *file, size_t bytes, char *why); /* of what was read already */
enum { NPY_HEAD = 512 };
/* The bytes of a .npy file before its data: returns how many, a multiple of 64; 0: .npy has no such element type. */
size_t npy_head(char out[NPY_HEAD], uint32_t dtype, uint32_t rank, const int64_t *dim);
bool npy_write(const char *path, uint32_t dtype, uint32_t rank, const int64_t *dim, const void *data, char *why);
void npy_free(NpyArray *);

/* Converts n elements if none loses more than a rounding to a narrower float: floats to floats; integers and bool to
 * integers or bool that hold them; integers to floats that hold them exactly. Floats never become integers; 16 bits
 * are rounded from f32. */
bool sinter_convert(uint32_t to_dtype, void *to, uint32_t from_dtype, const void *from, int64_t n, char *why);

/* ---- DLPack ----
 * The structs by which NumPy, PyTorch, JAX and others lend each other tensors without copying: DLPack 0.8, whose layout
 * is a public standard (https://dmlc.github.io/dlpack/latest/c_api.html). A SinterDlManaged * is their DLManagedTensor
 * *, what a Python capsule named "dltensor" holds. */
typedef struct SinterDlTensor { /* DLTensor */
  void *data;
  int32_t device_type, device_id; /* 1: memory of the CPU */
  int32_t ndim;
  uint8_t code, bits;       /* code: 0 int, 1 unsigned, 2 float, 4 bfloat, 6 bool */
  uint16_t lanes;           /* 1 */
  int64_t *shape, *strides; /* [ndim]; strides in elements, NULL: row-major */
  uint64_t byte_offset;     /* of the first element */
} SinterDlTensor;
typedef struct SinterDlManaged SinterDlManaged;
struct SinterDlManaged { /* DLManagedTensor */
  SinterDlTensor tensor;
  void *owner;
  void (*deleter)(SinterDlManaged *); /* called once, by who was lent it */
};

/* Lends an array (an output of a call, data read from a file): whoever gets the tensor calls its deleter, which calls
 * release(owner) (NULL: nothing is to be done) and frees the struct; until then the data must stay. NULL: why. */
SinterDlManaged *sinter_dlpack_lend(const NpyArray *, void (*release)(void *owner), void *owner, char *why);
/* The other way: the array of a tensor that was lent to us, to be an input of a call. It is a view, never given to
 * npy_free, and good until the tensor's deleter is called, which stays the caller's. False where a copy would be
 * wanted: another device, an element type there is none of, axes that are not in row-major order without gaps. */
bool sinter_dlpack_borrow(NpyArray *, const SinterDlManaged *, char *why);
#ifdef __cplusplus
}
#endif
#endif
