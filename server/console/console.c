/*
 * console.c - the list of the page's files; cmake/embed.cmake made their bytes.
 */
#include "penstock/console.h"

#include "beacon_js.h"
#include "codec_js.h"
#include "connection_js.h"
#include "error_js.h"
#include "icon_svg.h"
#include "index_html.h"
#include "main_js.h"
#include "msgpack_js.h"
#include "outbox_js.h"
#include "penstock_js.h"
#include "plot_js.h"
#include "sample_js.h"
#include "server_js.h"
#include "store_js.h"
#include "style_css.h"
#include "subscription_js.h"
#include "token_js.h"
#include "uuid_js.h"

#define JS             "text/javascript; charset=utf-8"
#define CONTENTS(name) name, sizeof name - 1 /* behind the contents stands a zero */

static const struct console_file files[] = {
    {"/", "text/html; charset=utf-8", CONTENTS(index_html)},
    {"/style.css", "text/css; charset=utf-8", CONTENTS(style_css)},
    {"/icon.svg", "image/svg+xml", CONTENTS(icon_svg)},
    {"/main.js", JS, CONTENTS(main_js)},
    {"/plot.js", JS, CONTENTS(plot_js)},
    {"/server.js", JS, CONTENTS(server_js)},
    {"/token.js", JS, CONTENTS(token_js)},
    {"/sample.js", JS, CONTENTS(sample_js)},
    {"/penstock.js", JS, CONTENTS(penstock_js)},
    {"/beacon.js", JS, CONTENTS(beacon_js)},
    {"/codec.js", JS, CONTENTS(codec_js)},
    {"/connection.js", JS, CONTENTS(connection_js)},
    {"/error.js", JS, CONTENTS(error_js)},
    {"/msgpack.js", JS, CONTENTS(msgpack_js)},
    {"/outbox.js", JS, CONTENTS(outbox_js)},
    {"/store.js", JS, CONTENTS(store_js)},
    {"/subscription.js", JS, CONTENTS(subscription_js)},
    {"/uuid.js", JS, CONTENTS(uuid_js)},
};

const struct console_file *console_find(struct span path)
{
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        if (span_is(path, files[i].path)) {
            return &files[i];
        }
    }
    return NULL;
}
