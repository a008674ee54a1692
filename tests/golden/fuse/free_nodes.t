# Movement, and what is made of numbers, iota and sizes, belongs to no kernel; as an output of the entry it is one.
entry f(x: f32[N, M]) -> (f32[M, N], f32[N, M]) { (x.T, x + arange(M).to(f32)) }
---
entry f
  kernel k0: elementwise over [M, N]
    computes transpose (free_nodes.t:2:52)
    stores f32[M, N] transpose (free_nodes.t:2:52)
  kernel k1: elementwise over [N, M]
    computes add (free_nodes.t:2:57)
    stores f32[N, M] add (free_nodes.t:2:57)
