package sqlstore

import (
	"context"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// traces is what messages of one app have left in other tables, which only their content names.
type traces struct {
	app        comm.ID
	ids        []comm.ID
	terms      []termRow // tags and templates
	recipients []termRow
	keys       []keyRow
}

// recipientKind is the kind of recipients among terms, which SQLite has there.
const recipientKind store.TermKind = 0

type termRow struct {
	id comm.ID
	store.Term
}

type keyRow struct {
	id   comm.ID
	mode comm.Mode
	hash []byte
	kept bool // in content already
}

// of is what some of the messages left. The others were changed after it had been read, such
// as by a RETRY, and keep what they have.
func (g *traces) of(ids []comm.ID) *traces {
	out := &traces{app: g.app, ids: ids}
	some := make(map[comm.ID]bool, len(ids))
	for _, id := range ids {
		some[id] = true
	}
	for _, t := range g.terms {
		if some[t.id] {
			out.terms = append(out.terms, t)
		}
	}
	for _, t := range g.recipients {
		if some[t.id] {
			out.recipients = append(out.recipients, t)
		}
	}
	for _, k := range g.keys {
		if some[k.id] {
			out.keys = append(out.keys, k)
		}
	}
	return out
}

// groups reads what the messages left, app by app.
func (c *Cold) groups(ctx context.Context, all []candidate) (out []*traces, err error) {
	place := map[comm.ID]*traces{}
	modes := map[comm.ID]comm.Mode{}
	for _, x := range all {
		g := place[x.app]
		if g == nil {
			g = &traces{app: x.app}
			place[x.app] = g
			out = append(out, g)
		}
		g.ids = append(g.ids, x.id)
		modes[x.id] = x.mode
	}
	for _, g := range out {
		if err := c.trace(ctx, g, modes); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// contentRow is what tells what a message left.
type contentRow struct {
	id        comm.ID
	recipient string
	payload   []byte
	hash      []byte
}

func (c *Cold) trace(ctx context.Context, g *traces, modes map[comm.ID]comm.Mode) error {
	rows, err := list(ctx, c.db, "read contents", func(r Row, x *contentRow) error { return r.Scan((*ID)(&x.id), &x.recipient, &x.payload, &x.hash) },
		c.d.selectAmong(`s.id, s.recipient, s.payload, s.key_hash`, `content`), c.d.IDs(g.ids), c.d.ID(g.app))
	if err != nil {
		return err
	}
	for i := range rows {
		x := &rows[i]
		if x.recipient != "" {
			g.recipients = append(g.recipients, termRow{x.id, store.Term{Kind: recipientKind, Value: x.recipient}})
		}
		if x.hash != nil {
			g.keys = append(g.keys, keyRow{x.id, modes[x.id], x.hash, true})
		}
		if x.payload == nil {
			continue
		}
		var content comm.Content
		if err := store.DecodeContent(x.payload, &content); err != nil {
			continue // it cannot be sent or shown either; what it left in the index is never shown
		}
		for _, term := range store.ContentTerms(&content) {
			g.terms = append(g.terms, termRow{x.id, term})
		}
		if key := content.IdempotencyKey; key != "" && x.hash == nil {
			hash := store.KeyHash(key)
			g.keys = append(g.keys, keyRow{x.id, modes[x.id], hash[:], false})
		}
	}
	return nil
}

// keepKeys notes the hash of idempotency keys beside contents that will not name them any more.
func (c *Cold) keepKeys(ctx context.Context, q Querier, g *traces) error {
	var a args
	app := c.noID(a.add(c.d.ID(g.app)))
	var rows []string
	for _, k := range g.keys {
		if !k.kept {
			rows = append(rows, "("+app+", "+c.noID(a.add(c.d.ID(k.id)))+", CAST("+a.add(k.hash)+" AS "+c.d.BytesType+"))")
		}
	}
	if len(rows) == 0 {
		return nil
	}
	_, err := q.ExecContext(ctx, c.d.updateRows(`content`, `key_hash = x.column3`, []string{"app_id", "id"}, rows), a...)
	return err
}

// dropKeys removes the idempotency keys of messages that are gone.
func (c *Cold) dropKeys(ctx context.Context, q Querier, g *traces) error {
	var a args
	app := c.noID(a.add(c.d.ID(g.app)))
	var rows []string
	for _, k := range g.keys {
		rows = append(rows, "("+app+", CAST("+a.add(int64(k.mode))+" AS integer), CAST("+a.add(k.hash)+" AS "+c.d.BytesType+"), "+c.noID(a.add(c.d.ID(k.id)))+")")
	}
	if len(rows) == 0 {
		return nil
	}
	_, err := q.ExecContext(ctx, c.d.deleteRows(`idempotency`, []string{"app_id", "mode", "hash", "id"}, rows), a...)
	return err
}

// dropTerms removes what messages are searched by.
func (c *Cold) dropTerms(ctx context.Context, q Querier, app comm.ID, terms []termRow) error {
	if len(terms) == 0 {
		return nil
	}
	var a args
	of := c.noID(a.add(c.d.ID(app)))
	rows := make([]string, len(terms))
	for i, t := range terms {
		rows[i] = "(" + of + ", CAST(" + a.add(int64(t.Kind)) + " AS integer), CAST(" + a.add(t.Value) + " AS text), " + c.noID(a.add(c.d.ID(t.id))) + ")"
	}
	_, err := q.ExecContext(ctx, c.d.deleteRows(`terms`, []string{"app_id", "kind", "value", "id"}, rows), a...)
	return err
}
