package postgres

import "github.com/commserver/commserver/internal/store/sqlstore"

// stateArgs makes the arrays of changeStatesSQL: each message as its last change left it.
func stateArgs(all []*subject) []any {
	n := len(all)
	app, id, status, updated, due, sequence, flags := uuids(n), uuids(n), int2s(n), int8s(n), int8s(n), int4s(n), int4s(n)
	provider, providerID, ref, code, errText, sent, delivered := texts(n), uuids(n), texts(n), texts(n), texts(n), int8s(n), int8s(n)
	for _, s := range all {
		x := &s.st
		app.id(x.App)
		id.id(x.ID)
		status.i16(int16(x.Status))
		updated.i64(int64(x.UpdatedAt))
		due.i64(int64(x.Due))
		sequence.i32(int32(x.Sequence))
		flags.i32(int32(x.Flags))
		provider.text(x.Provider)
		providerID.id(x.ProviderID)
		ref.text(x.ProviderRef)
		code.text(x.ErrorCode)
		errText.text(x.ErrorText)
		sent.i64(int64(x.SentAt))
		delivered.i64(int64(x.DeliveredAt))
	}
	return []any{app, id, status, updated, due, sequence, flags, provider, providerID, ref, code, errText, sent, delivered}
}

// eventArgs makes the arrays of logEventsSQL, and counts the events.
func eventArgs(all []*subject, tally *sqlstore.Tally) []any {
	n := 2 * len(all)
	app, id, sequence, kind, from, to, at, generation, attempt := uuids(n), uuids(n), int4s(n), int2s(n), int2s(n), int2s(n), int8s(n), int4s(n), int4s(n)
	epoch, node, actor, provider, providerID, ref, code, detail, why := int8s(n), texts(n), texts(n), texts(n), uuids(n), texts(n), texts(n), texts(n), texts(n)
	for _, s := range all {
		for i := range s.changes {
			c := &s.changes[i]
			for k := range c.Events {
				e := &c.Events[k]
				tally.Event(&c.After, e)
				app.id(e.App)
				id.id(e.Message)
				sequence.i32(int32(e.Sequence))
				kind.i16(int16(e.Type))
				from.i16(int16(e.From))
				to.i16(int16(e.To))
				at.i64(int64(e.At))
				generation.i32(int32(e.Generation))
				attempt.i32(int32(e.Attempt))
				epoch.i64(e.Epoch)
				node.text(e.Node)
				actor.text(e.Actor)
				provider.text(e.Provider)
				providerID.id(e.ProviderID)
				ref.text(e.Ref)
				code.text(e.ErrorCode)
				detail.text(e.Detail)
				why.text(e.ErrorText)
			}
		}
	}
	return []any{app, id, sequence, kind, from, to, at, generation, attempt, epoch, node, actor, provider, providerID, ref, code, detail, why}
}

// parkArgs makes the arrays of parkSQL.
func parkArgs(all []parking) []any {
	n := len(all)
	id, owner, provider, name, ref, message, attempt := uuids(n), uuids(n), uuids(n), texts(n), texts(n), uuids(n), int4s(n)
	fate, correctable, suppress, code, detail, since, due := int4s(n), int4s(n), texts(n), texts(n), texts(n), int8s(n), int8s(n)
	for i := range all {
		x := all[i].report
		id.id(all[i].id)
		owner.id(x.Owner)
		provider.id(x.Provider)
		name.text(x.Name)
		ref.text(x.Ref)
		message.id(x.Message)
		attempt.i32(int32(x.Attempt))
		fate.i32(int32(x.Fate))
		correctable.i32(int32(bit(x.Correctable)))
		suppress.text(x.Suppress)
		code.text(x.Code)
		detail.text(x.Text)
		since.i64(int64(x.Since))
		due.i64(int64(all[i].due))
	}
	return []any{id, owner, provider, name, ref, message, attempt, fate, correctable, suppress, code, detail, since, due}
}
