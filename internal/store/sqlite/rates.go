package sqlite

import (
	"fmt"

	"github.com/commserver/commserver/internal/comm"
)

var (
	qRateSelect = &query{`SELECT minute, used FROM rates WHERE app_id = ?`}
	qRateUpsert = &query{`INSERT INTO rates (app_id, minute, used) VALUES (?, ?, ?)
		ON CONFLICT (app_id) DO UPDATE SET minute = excluded.minute, used = excluded.used`}
)

const (
	minute = 60_000_000 // microseconds
	// ratesAtOnce is how many counts an accept group writes. When more apps are
	// busy the others follow in later groups: the truth is in memory, since the
	// file belongs to this process, and the rows are for the next one.
	ratesAtOnce = 4
)

// rates counts the submissions of each app in the current minute. It belongs to the writer's goroutine.
type rates struct {
	minute comm.Micros // when it began
	first  comm.Micros // the minute in which this process began: rows of an earlier process may count in it
	apps   map[comm.ID]*rate
	dirty  []comm.ID // whose row is behind, oldest first
}

type rate struct {
	used  int
	dirty bool
}

// turn moves to the minute of now. A clock that jumps back opens that minute again, with nothing used.
func (c *rates) turn(now comm.Micros) {
	m := now - now%minute
	if c.apps == nil {
		c.apps, c.first = map[comm.ID]*rate{}, m
	}
	if m != c.minute {
		c.minute, c.dirty = m, c.dirty[:0]
		clear(c.apps)
	}
}

// used is how many submissions of the app count so far.
func (c *rates) used(r *raw, app comm.ID) (int, error) {
	if x, ok := c.apps[app]; ok {
		return x.used, nil
	}
	x := &rate{}
	if c.minute == c.first {
		row, err := r.one(qRateSelect, app[:])
		if err != nil {
			return 0, fmt.Errorf("read rate: %w", err)
		}
		if row != nil && comm.Micros(num(row[0])) == c.minute {
			x.used = int(num(row[1]))
		}
	}
	c.apps[app] = x
	return x.used, nil
}

// count adds n (1, or -1 to take one back) to an app that used was asked for.
func (c *rates) count(app comm.ID, n int) {
	if x, ok := c.apps[app]; ok {
		x.used = max(0, x.used+n)
		c.behind(app)
	}
}

// behind notes that an app's row must be written.
func (c *rates) behind(app comm.ID) {
	if x, ok := c.apps[app]; ok && !x.dirty {
		x.dirty = true
		c.dirty = append(c.dirty, app)
	}
}

// write brings some rows up to date and answers whose: they are behind again if the transaction is rolled back.
func (c *rates) write(r *raw) (written []comm.ID, err error) {
	n := min(len(c.dirty), ratesAtOnce)
	written = append(written, c.dirty[:n]...)
	if err := c.rows(r, written); err != nil {
		return nil, err
	}
	c.dirty = append(c.dirty[:0], c.dirty[n:]...)
	return written, nil
}

// writeAll brings every row up to date, before the process ends.
func (c *rates) writeAll(r *raw) error {
	err := c.rows(r, c.dirty)
	c.dirty = c.dirty[:0]
	return err
}

func (c *rates) rows(r *raw, apps []comm.ID) error {
	for _, app := range apps {
		x := c.apps[app]
		if _, err := r.run(qRateUpsert, app[:], int64(c.minute), int64(x.used)); err != nil {
			return fmt.Errorf("count rate: %w", err)
		}
		x.dirty = false
	}
	return nil
}
