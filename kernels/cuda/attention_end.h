/* The end of a skeleton of attention: what it and its holes have defined. */
#undef D
#undef KEYS
#undef TILE
#undef STAGED
#undef ATTENTION_NAME
#undef ATTENTION_D
#undef ATTENTION_SCALE
#undef ATTENTION_SCORE
#undef ATTENTION_PACK
#undef ATTENTION_MMA
#undef ATTENTION_WGMMA
#undef ATTENTION_WGMMA_REGS
#undef ATTENTION_WIDTH
#undef ATTENTION_BEGIN
