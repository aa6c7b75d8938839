package sqlstore

import (
	"context"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// The statements of Wish. A later word of the person stands; of two at once the one that stops.
const (
	wishSQL = `INSERT INTO wishes (app_id, channel, address, stop, at) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (app_id, channel, address) DO UPDATE SET stop = excluded.stop, at = excluded.at
		WHERE excluded.at > wishes.at OR excluded.at = wishes.at AND excluded.stop >= wishes.stop`
	// What others put on the list stays theirs; what providers did is the person's own word from now on.
	stopSQL = `INSERT INTO suppressions (` + suppressionColumns + `) VALUES ($1, $2, $3, '` + comm.SuppressUnsubscribed + `', '` + comm.SuppressByProvider + `', '', $4)
		ON CONFLICT (app_id, channel, address) DO UPDATE SET reason = excluded.reason,
		source = CASE WHEN suppressions.source IN ('` + comm.SuppressByAPI + `', '` + comm.SuppressByImport + `') THEN suppressions.source ELSE excluded.source END
		WHERE suppressions.reason <> excluded.reason`
	ofPerson = ` AND reason = '` + comm.SuppressUnsubscribed + `' AND source = '` + comm.SuppressByProvider + `'`
)

// Wish implements store.Receipts.
func (c *Cold) Wish(ctx context.Context, w store.Wish) (changed bool, err error) {
	err = c.db.Write(ctx, func(q Querier) error {
		changed = false
		var stop int64
		if w.Stop {
			stop = 1
		}
		n, err := affected(ctx, q, wishSQL, c.d.ID(w.App), int64(w.Channel), w.Address, stop, int64(w.At))
		if err != nil || n == 0 {
			return err
		}
		if w.Stop {
			changed, err = c.stop(ctx, q, &w)
		} else {
			changed, err = c.start(ctx, q, &w)
		}
		return err
	})
	return changed && err == nil, wrap(err, "do what a person wishes")
}

func (c *Cold) stop(ctx context.Context, q Querier, w *store.Wish) (bool, error) {
	if err := c.replaceErased(ctx, q, []store.Suppression{{App: w.App, Channel: w.Channel, Address: w.Address, Hash: w.Hash}}); err != nil {
		return false, err
	}
	n, err := affected(ctx, q, stopSQL, c.d.ID(w.App), int64(w.Channel), w.Address, int64(w.At))
	if err != nil || n == 0 {
		return false, err
	}
	return true, c.record(ctx, q, did{w.App, comm.AuditSuppressed, w.Channel.String(), detail{}.with("added", n).with("source", comm.SuppressByProvider)})
}

func (c *Cold) start(ctx context.Context, q Querier, w *store.Wish) (bool, error) {
	var hashes int64
	if w.Hash != "" {
		n, err := affected(ctx, q, `DELETE FROM erased_suppressions WHERE app_id = $1 AND channel = $2 AND hash = $3`+ofPerson, c.d.ID(w.App), int64(w.Channel), []byte(w.Hash))
		if err != nil {
			return false, err
		}
		hashes = n
	}
	n, err := affected(ctx, q, `DELETE FROM suppressions WHERE app_id = $1 AND channel = $2 AND address = $3`+ofPerson, c.d.ID(w.App), int64(w.Channel), w.Address)
	if err != nil || n+hashes == 0 {
		return false, err
	}
	return true, c.record(ctx, q, did{w.App, comm.AuditUnsuppressed, w.Channel.String(), detail{}.with("source", comm.SuppressByProvider)})
}

// TrimWishes implements store.Receipts.
func (c *Cold) TrimWishes(ctx context.Context, before comm.Micros) error {
	err := c.db.Write(ctx, func(q Querier) error {
		_, err := q.ExecContext(ctx, `DELETE FROM wishes WHERE at < $1`, int64(before))
		return err
	})
	return wrap(err, "forget what persons said long ago")
}
