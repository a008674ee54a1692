# Numbers, iota, sizes and movement belong to no kernel; as outputs of the entry they are kernels.
entry f(x: f32[N, M]) -> (f32[M, N], f32[N, M]) { (x.T, x + arange(M).to(f32)) }
---
entry f
  kernel k0: elementwise over [M, N]
    computes transpose (free_nodes.t:2:52)
    stores f32[M, N] transpose (free_nodes.t:2:52)
  kernel k1: elementwise over [M]
    computes convert (free_nodes.t:2:61)
    stores f32[M] convert (free_nodes.t:2:61)
  kernel k2: elementwise over [N, M]
    computes add (free_nodes.t:2:57)
    stores f32[N, M] add (free_nodes.t:2:57)
    not fused with convert (free_nodes.t:2:61), which add reads: the shapes differ
