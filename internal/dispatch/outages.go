package dispatch

import (
	"log/slog"

	"github.com/commserver/commserver/internal/outage"
)

// outages report what the dispatcher does again and again with the store: while
// the store is away each of them fails several times a second.
type outages struct {
	beat, take, units, orphans, overdue, queue, settings, recovery, holds, troubles, strains, left, reports outage.Report
}

func newOutages(log *slog.Logger) *outages {
	o := new(outages)
	for _, r := range []struct {
		into           *outage.Report
		level          slog.Level
		failing, works string
	}{
		{&o.beat, slog.LevelError, "heartbeat could not be stored", "heartbeat is stored again"},
		{&o.take, slog.LevelError, "shards could not be taken", "shards can be taken again"},
		{&o.units, slog.LevelError, "units could not be listed", "units are listed again"},
		{&o.orphans, slog.LevelError, "open attempts could not be listed", "open attempts are listed again"},
		{&o.overdue, slog.LevelError, "overdue messages cannot be listed", "overdue messages are listed again"},
		{&o.queue, slog.LevelError, "queue cannot be read", "queue is read again"},
		{&o.settings, slog.LevelError, "configuration cannot be read", "configuration is read again"},
		{&o.recovery, slog.LevelError, "take-over could not be completed yet", "take-over goes on"},
		{&o.holds, slog.LevelWarn, "reasons for waiting could not be published", "reasons for waiting are published again"},
		{&o.reports, slog.LevelWarn, "messages in doubt wait: what providers have reported could not be applied", "what providers have reported is applied again"},
		{&o.troubles, slog.LevelWarn, "it could not be stored which providers do not work", "it is stored again which providers do not work"},
		{&o.strains, slog.LevelWarn, "it could not be stored how calls of providers go", "it is stored again how calls of providers go"},
		{&o.left, slog.LevelWarn, "it could not be settled what nodes that are gone said of providers", "it is settled again what nodes that are gone said of providers"},
	} {
		r.into.Log, r.into.Level, r.into.Failing, r.into.Works = log, r.level, r.failing, r.works
	}
	return o
}
