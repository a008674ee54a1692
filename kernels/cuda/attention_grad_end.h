/* The end of a skeleton of attention's backward. */
#undef AT
#undef BANDS
#undef LOAD_TILE
#undef LIES_A
#undef LIES_B
#undef ALONG
#undef ROW
#undef OWN
#undef OWN_TILE
#undef OTHER
#undef STAGES
#undef OF_K
#undef OF_V
#undef ATTENTION_RESULTS
#include "attention_end.h"
