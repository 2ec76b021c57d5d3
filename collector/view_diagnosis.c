/* One diagnosis, as the API shows it. */
#include "collector/view.h"
#include "collector/view_internal.h"

#include <string.h>

static void put_evidence(const struct diagnosis *diagnosis, struct buf *out)
{
    buf_puts(out, ",\"evidence\":[");
    for (size_t i = 0; i < diagnosis->evidence_count; i++) {
        buf_puts(out, i ? ",{\"side\":" : "{\"side\":");
        buf_put_json(out, diagnosis->evidence[i].side);
        view_put_text(out, "fact", diagnosis->evidence[i].fact);
        view_put_text(out, "source", diagnosis->evidence[i].source);
        buf_putc(out, '}');
    }
    buf_puts(out, "],\"ruled_out\":[");
    for (size_t i = 0; i < diagnosis->ruled_out_count; i++) {
        buf_puts(out, i ? ",{\"cause\":" : "{\"cause\":");
        buf_put_json(out, diagnosis->ruled_out[i].cause);
        view_put_text(out, "by", diagnosis->ruled_out[i].by);
        buf_putc(out, '}');
    }
    buf_putc(out, ']');
}

static void put_commands(const struct diagnosis *diagnosis, struct buf *out)
{
    buf_puts(out, ",\"commands\":");
    buf_put_json_list(out, diagnosis->commands, diagnosis->command_count);
}

static void put_changes(const struct diagnosis *diagnosis, struct buf *out)
{
    view_put_moment(out, "last_good", diagnosis->good, diagnosis->good_ms);
    view_put_moment(out, "since", diagnosis->since, diagnosis->since_ms);
    buf_puts(out, ",\"changes\":[");
    for (size_t i = 0; i < diagnosis->change_count; i++) {
        const struct diagnosis_change *change = &diagnosis->changes[i];
        buf_puts(out, i ? ",{\"what\":" : "{\"what\":");
        buf_put_json(out, change->what);
        view_put_text(out, "kind", change->kind);
        view_put_text(out, "then", change->then);
        view_put_text(out, "now", change->now);
        view_put_event(out, change->at_ms, change->by, change->event);
        buf_putc(out, '}');
    }
    buf_putc(out, ']');
}

static void put_alternatives(const struct diagnosis *diagnosis, struct buf *out)
{
    buf_puts(out, ",\"alternatives\":[");
    for (size_t i = 0; i < diagnosis->alternative_count; i++) {
        buf_puts(out, i ? ",{\"cause\":" : "{\"cause\":");
        buf_put_json(out, diagnosis->alternatives[i].cause);
        buf_printf(out, ",\"confidence\":%.2f", diagnosis->alternatives[i].confidence);
        view_put_text(out, "summary", diagnosis->alternatives[i].summary);
        buf_putc(out, '}');
    }
    buf_putc(out, ']');
}

static void put_cells(const struct fleet *fleet, const struct diagnosis *diagnosis, struct buf *out)
{
    buf_puts(out, ",\"cells\":[");
    for (size_t i = 0; i < diagnosis->cell_count; i++) {
        const struct diagnosis_cell *cell = &diagnosis->cells[i];
        buf_puts(out, i ? ",{\"source\":" : "{\"source\":");
        buf_put_json(out, fleet->services[cell->source].name);
        view_put_text(out, "target", fleet_column_service(fleet, cell->column)->name);
        view_put_text(out, "check", fleet_column_check(fleet, cell->column)->name);
        buf_putc(out, '}');
    }
    buf_putc(out, ']');
}

void view_diagnosis(const struct fleet *fleet, const struct diagnosis *diagnosis, struct buf *out)
{
    buf_puts(out, "{\"cause\":");
    buf_put_json(out, diagnosis->cause);
    buf_printf(out, ",\"confidence\":%.2f", diagnosis->confidence);
    view_put_text(out, "severity", diagnosis_severity_name(diagnosis->severity));
    view_put_text(out, "stage", diagnosis_stage_name(diagnosis->stage));
    view_put_text(out, "scope", diagnosis->scope);
    view_put_text(out, "summary", diagnosis->summary);
    view_put_text(out, "fix", diagnosis->fix);
    put_commands(diagnosis, out);
    view_put_int(out, "attempts", diagnosis->attempts);
    put_cells(fleet, diagnosis, out);
    put_evidence(diagnosis, out);
    put_alternatives(diagnosis, out);
    put_changes(diagnosis, out);
    buf_putc(out, '}');
}
