/* The end of a skeleton of attention's backward. */
#undef BANDS
#undef OF_QUERIES
#undef OF_KEYS
#undef LIES_A
#undef LIES_B
#undef ALONG
#undef BRINGERS
#undef OF_K
#undef OF_V
#undef ATTENTION_RESULTS
#include "attention_end.h"
