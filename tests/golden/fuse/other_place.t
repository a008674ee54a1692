# Not fused: a reversed read needs elements that another task makes.
entry f(x: f32[N, 8]) -> f32[N, 8] {
  y = exp(x)
  y + flip(y, 0)
}
---
entry f
  kernel k0: elementwise over [N, 8]
    computes exp (other_place.t:3:7)
    stores f32[N, 8] exp (other_place.t:3:7)
  kernel k1: elementwise over [N, 8]
    computes add (other_place.t:4:3)
    stores f32[N, 8] add (other_place.t:4:3)
    not fused with exp (other_place.t:3:7), which add reads: it reads the value at another place than where it is made
