# A chain of element-wise operations is one kernel, its values never in memory.
entry f(x: f32[N], y: f32[N]) -> f32[N] { tanh(x * y + 1) * 0.5 }
---
entry f
  kernel k0: elementwise over [N]
    computes mul (chain.t:2:48), add (chain.t:2:48), tanh (chain.t:2:43), mul (chain.t:2:43)
    stores f32[N] mul (chain.t:2:43)
    fused with mul (chain.t:2:48), which add reads: read where it is made: one loop nest
    fused with add (chain.t:2:48), which tanh reads: read where it is made: one loop nest
    fused with tanh (chain.t:2:43), which mul reads: read where it is made: one loop nest
