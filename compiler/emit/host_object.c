#include "host_object.h"

void host_forwards(const HostLayout *h, HostForwards *out) {
  static const struct {
    const char *name, *to, *signature;
  } OWN[] = {{"open", "sinter_rt_open", "ippl"},
             {"close", "sinter_rt_close", "vp"},
             {"save", "sinter_rt_save", "ipp"},
             {"get", "sinter_rt_get", "ipppl"},
             {"set", "sinter_rt_set", "ipppl"},
             {"to", "sinter_rt_to", "ipp"},
             {"open_message", "sinter_rt_open_message", "pp"},
             {"workspace", "sinter_rt_workspace", "lpi"},
             {"new", "sinter_rt_create", "ippppl"},
             {"free", "sinter_rt_free", "vp"},
             {"message", "sinter_rt_message", "pp"}};
  Arena *a = h->program->ctx->arena;
  for (size_t i = 0; i < sizeof OWN / sizeof *OWN; i++)
    vec_push(a, out,
             (HostForward){.name = arena_printf(a, "%s_%s", h->prefix, OWN[i].name),
                           .to = OWN[i].to,
                           .signature = OWN[i].signature});
  for (uint32_t i = 0; i < h->program->entries.n; i++)
    vec_push(a, out,
             (HostForward){.name = arena_printf(a, "%s_%s", h->prefix, h->program->entries.at[i].name),
                           .to = "sinter_rt_call",
                           .signature = "ippp",
                           .numbered = true,
                           .number = i});
}
