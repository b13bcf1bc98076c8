// From a component's configuration to the parameters of its model.
#include <string.h>

#include "models/clip_text.h"
#include "models/clip_vision.h"
#include "models/component.h"
#include "models/unet.h"
#include "models/vae.h"

static bdpo_status add_unet(bdpo_param_list *list, const bdpo_component_source *s)
{
    bdpo_unet_config config;
    TRY(bdpo_unet_config_parse(&config, s->config, s->config_file));
    bdpo_unet_params(list, &config);
    return BDPO_OK;
}

static bdpo_status add_vae(bdpo_param_list *list, const bdpo_component_source *s)
{
    bdpo_vae_config config;
    TRY(bdpo_vae_config_parse(&config, s->config, s->config_file));
    bdpo_vae_params(list, &config);
    return BDPO_OK;
}

// The class decides whether there is a projection: a plain text model states a width for it too.
static bdpo_status add_text(bdpo_param_list *list, const bdpo_component_source *s)
{
    bdpo_clip_text_config config;
    TRY(bdpo_clip_text_config_parse(&config, s->config, s->config_file));
    if (strcmp(s->spec->class_name, "CLIPTextModel") == 0) config.projection_dim = 0;
    bdpo_clip_text_params(list, &config);
    return BDPO_OK;
}

static bdpo_status add_clip(bdpo_param_list *list, const bdpo_component_source *s)
{
    bdpo_clip_vision_config config;
    TRY(add_text(list, s));
    TRY(bdpo_clip_vision_config_parse(&config, s->config, s->config_file));
    bdpo_clip_vision_params(list, &config);
    bdpo_clip_logit_scale_params(list);
    return BDPO_OK;
}

bdpo_status bdpo_component_params(bdpo_param_list *list, const bdpo_component_source *s)
{
    bdpo_status status = BDPO_OK;
    switch (s->spec->kind) {
    case BDPO_NAMES_UNET:
        status = add_unet(list, s);
        break;
    case BDPO_NAMES_VAE:
        status = add_vae(list, s);
        break;
    case BDPO_NAMES_CLIP_TEXT:
    case BDPO_NAMES_OPEN_CLIP:
        status =
            strcmp(s->spec->class_name, "CLIPModel") == 0 ? add_clip(list, s) : add_text(list, s);
        break;
    case BDPO_NAMES_OWN:
        BDPO_BUG("the parameters of %s are their owner's to list", s->spec->class_name);
    }
    return status == BDPO_OK ? bdpo_param_list_check(list) : status;
}
