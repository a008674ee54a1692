/* Literals in vector code. LLVM would load them before the loops as long as it sees room and then store other values to
 * the stack, in the loop, for want of registers: it weighs one loop at a time, and greedily. Here the stage is weighed
 * as a whole (loop_pressure): the literals with most uses get the registers that its values leave, each use of another
 * one is a load from a table which LLVM does not know to be constant (it lies where memory is read-only once an
 * artefact is loaded), so that it stays an operand where it is used. */
#include "llvm_gen.h"

void const_begin(Gen *g) {
  const Target *t = g->target;
  bool masks = t->level == LEVEL_V4;
  LoopPressure p = loop_pressure(g->k, g->stage, t->vector_bytes, masks, false, g->arena);
  int room = t->vector_regs * 3 / 4; /* the rest: operands on their way, constants of LLVM's own, luckless choices */
  bool all = p.vectors + (int)p.literals.n <= room;
  if (!all) p = loop_pressure(g->k, g->stage, t->vector_bytes, masks, true, g->arena);
  room -= p.vectors;
  g->tight = room < 0;
  g->alive = p.vectors;
  g->ex_held = ARENA_ARRAY(g->arena, bool, g->k->ex.n + 1);
  for (uint32_t i = 0; i < p.literals.n; i++)
    if (all || p.literals.at[i].known || (!p.literals.at[i].anchor && room-- > 0))
      g->ex_held[p.literals.at[i].value] = true;
  g->slot.n = g->turn = g->fenced = 0;
  g->table = g->table_base = NULL;
}

/* Nothing is read for both sides. */
static void fence(Gen *g) {
  LLVMTypeRef f = LLVMFunctionType(g->t_void, NULL, 0, 0);
  LLVMBuildCall2(g->b, f, LLVMGetInlineAsm(f, "", 0, "~{memory}", 9, 1, 0, LLVMInlineAsmDialectATT, 0), NULL, 0, "");
}

/* Vectors that an expression loads. */
static int loads(const Gen *g, Ex e, bool *seen) {
  if (!e || seen[e]) return 0;
  seen[e] = true;
  const Expr *x = ex_at(g->k, e);
  int n = x->op == OP_LOAD && x->lanes > 1;
  for (int i = 0; i < x->nin; i++) n += loads(g, g->k->arg.at[x->in + (uint32_t)i], seen);
  return n + loads(g, x->mask, seen) + loads(g, x->other, seen);
}
static int block_loads(const Gen *g, const Stmt *s, bool *seen, bool *stores) {
  int n = 0;
  for (; s; s = s->next) {
    *stores |= s->kind == STMT_STORE;
    n += loads(g, s->value, seen) + loads(g, s->mask, seen) + block_loads(g, s->body, seen, stores) +
         block_loads(g, s->other, seen, stores);
  }
  return n;
}

/* LLVM puts loads of neighbours side by side, of up to four turns: those of the later ones then wait in registers. */
bool const_crowded(const Gen *g, const Stmt *unrolled, int64_t turns) {
  bool stores = false;
  int n = block_loads(g, unrolled->body, ARENA_ARRAY(g->arena, bool, g->k->ex.n + 1), &stores);
  return !stores && n > 1 && g->alive + n * ((turns < 4 ? (int)turns : 4) - 1) > g->target->vector_regs;
}
void const_turn(Gen *g) {
  fence(g);
  g->fenced = g->turn;
}

/* Of a loop of one turn nothing is left: LLVM would merge what the loops before and after it read and work out, and
 * keep it in registers from one to the other. Where these are few it reads again. */
void const_apart(Gen *g) {
  if (g->tight) fence(g);
}

/* AArch64 has no address of a place in a table in one instruction: its start is kept in a register, made so that LLVM
 * does not split it up again. */
static LLVMValueRef base(Gen *g) {
  if (g->table_base) return g->table_base;
  g->table = LLVMAddGlobal(g->mod, g->t_i8, "");
  g->table_base = g->table;
  if (g->target->level == LEVEL_A64) {
    LLVMBasicBlockRef here = LLVMGetInsertBlock(g->b);
    LLVMPositionBuilderBefore(g->b, LLVMGetFirstInstruction(g->entry));
    LLVMTypeRef in[] = {g->t_ptr}, f = LLVMFunctionType(g->t_ptr, in, 1, 0);
    LLVMValueRef same = LLVMGetInlineAsm(f, "", 0, "=r,0", 4, 0, 0, LLVMInlineAsmDialectATT, 0);
    g->table_base = LLVMBuildCall2(g->b, f, same, &g->table, 1, "");
    LLVMPositionBuilderAtEnd(g->b, here);
  }
  return g->table_base;
}

/* With embedded broadcasts an element is enough. */
static bool broadcasts(const Gen *g) { return g->target->level == LEVEL_V4; }

static int place(const Gen *g) { return broadcasts(g) ? 8 : g->target->vector_bytes; }

LLVMValueRef const_operand(Gen *g, Ex e, LLVMValueRef v) {
  LLVMTypeRef t = LLVMTypeOf(v);
  const Expr *x = ex_at(g->k, e);
  if (x->op != OP_LITERAL || LLVMGetTypeKind(t) != LLVMVectorTypeKind || g->ex_held[e] || x->dtype == DT_BOOL ||
      LLVMIsNull(v) || v == LLVMConstAllOnes(t))
    return v;
  LLVMBasicBlockRef here = LLVMGetInsertBlock(g->b);
  int lanes = (int)LLVMGetVectorSize(t), bytes = (int)dtype_size((DType)x->dtype);
  if (broadcasts(g))
    v = LLVMGetAggregateElement(v, 0);
  else if ((bytes *= lanes) > place(g))
    return v; /* made for another level */
  if (g->fenced != g->turn) const_turn(g);
  uint32_t i =
      0; /* a place for each use in a turn: one load for two uses would hold a register from one to the other */
  while (i < g->slot.n && (g->slot.at[i].value != v || (g->slot.at[i].block == here && g->slot.at[i].turn == g->turn)))
    i++;
  if (i == g->slot.n) vec_push(g->arena, &g->slot, (Slot){.value = v, .bytes = bytes});
  g->slot.at[i].block = here;
  g->slot.at[i].turn = g->turn;
  LLVMValueRef at = LLVMConstInt(g->t_i64, (uint64_t)i * (uint64_t)place(g), 0),
               p = LLVMBuildGEP2(g->b, g->t_i8, base(g), &at, 1, "");
  LLVMValueRef r = LLVMBuildLoad2(g->b, LLVMTypeOf(v), p, "");
  LLVMSetAlignment(r, (unsigned)bytes);
  return broadcasts(g) ? gen_splat(g, r, lanes) : r;
}

/* The table as it has become. */
void const_end(Gen *g) {
  if (!g->table) return;
  uint32_t n = g->slot.n;
  LLVMValueRef *field = ARENA_ARRAY(g->arena, LLVMValueRef, n);
  for (uint32_t i = 0; i < n; i++) { /* padded to the places' size */
    LLVMValueRef v = g->slot.at[i].value;
    int rest = place(g) - g->slot.at[i].bytes;
    LLVMValueRef two[] = {v, LLVMConstNull(LLVMArrayType2(g->t_i8, (uint64_t)rest))};
    field[i] = rest ? LLVMConstStructInContext(g->cx, two, 2, 1) : v;
  }
  LLVMValueRef all = LLVMConstStructInContext(g->cx, field, n, 1),
               table = LLVMAddGlobal(g->mod, LLVMTypeOf(all), "constants");
  LLVMSetInitializer(table, all);
  LLVMSetSection(table, ".data.rel.ro");
  LLVMSetLinkage(table, LLVMPrivateLinkage);
  LLVMSetAlignment(table, (unsigned)place(g));
  LLVMReplaceAllUsesWith(g->table, table);
  LLVMDeleteGlobal(g->table);
}
