package registry

import (
	"context"

	"github.com/commserver/commserver/internal/store"
)

// AuditVerdict is what walking the chain of the audit log found.
type AuditVerdict struct {
	Checked int64 // entries that hold
	// Last is the sequence of the last entry that holds, 0 for none, with its hash: who keeps both
	// elsewhere finds out later whether the chain was made anew.
	Last     int64
	LastHash [32]byte
	// Next is behind which entry the walk goes on, 0 when it came to the end or to a break.
	Next int64
	// BrokenAt is the sequence of the first entry that does not hold, 0 when all do, and Why says how.
	BrokenAt int64
	Why      string
}

// How the chain is walked.
const (
	auditSlice = 500
	auditWalk  = 50_000 // entries for one call
)

// Audit lists entries of the audit log: see store.Audit.
func (s *Service) Audit(ctx context.Context, f store.AuditFilter) (store.AuditPage, error) {
	return s.cfg.Audit.AuditList(ctx, f)
}

// Note appends what the context's actor asks for to the audit log: of what is no change of settings.
func (s *Service) Note(ctx context.Context, e store.AuditEntry) error {
	e.Actor = store.ActorOf(ctx)
	return s.cfg.Audit.Note(ctx, []store.AuditEntry{e})
}

// VerifyAudit walks the chain behind an entry (0: from the beginning), in slices
// and at most 50,000 entries far, and answers the first break: an entry that was
// changed, removed or put in. Entries that are appended meanwhile are no break.
// Who can write to the database and knows how the chain is made can make it anew:
// keep the last hash elsewhere to find that out.
func (s *Service) VerifyAudit(ctx context.Context, after int64) (v AuditVerdict, err error) {
	end, head, err := s.cfg.Audit.AuditHead(ctx)
	if err != nil {
		return v, err
	}
	last := store.AuditEntry{Sequence: after}
	if after > 0 {
		at, err := s.cfg.Audit.AuditChain(ctx, after-1, 1)
		if err != nil {
			return v, err
		}
		if len(at) == 0 || at[0].Sequence != after {
			return AuditVerdict{BrokenAt: after, Why: "the entry is missing"}, nil
		}
		last = at[0]
	}
	for v.Checked < auditWalk {
		list, err := s.cfg.Audit.AuditChain(ctx, last.Sequence, auditSlice)
		if err != nil {
			return v, err
		}
		for i := range list {
			e := &list[i]
			if why := broken(&last, e); why != "" {
				v.BrokenAt, v.Why = last.Sequence+1, why
				return v, nil
			}
			if e.Sequence == end && e.Hash != head {
				v.BrokenAt, v.Why = e.Sequence, "the log's head names another last entry"
				return v, nil
			}
			last = *e
			v.Checked, v.Last, v.LastHash = v.Checked+1, e.Sequence, e.Hash
		}
		if len(list) < auditSlice {
			return s.atEnd(ctx, v, &last, end)
		}
	}
	v.Next = last.Sequence
	return v, nil
}

// broken says why an entry does not follow the one before it, "" when it does.
func broken(last, e *store.AuditEntry) string {
	switch {
	case e.Sequence != last.Sequence+1:
		return "the entry is missing"
	case e.Previous != last.Hash:
		return "the entry does not follow the one before it"
	case e.Sum() != e.Hash:
		return "the entry was changed"
	}
	return ""
}

// atEnd looks whether the last entry that was found is the log's last. end was the
// log's last one when the walk began.
func (s *Service) atEnd(ctx context.Context, v AuditVerdict, last *store.AuditEntry, end int64) (AuditVerdict, error) {
	now, head, err := s.cfg.Audit.AuditHead(ctx)
	switch {
	case err != nil:
		return v, err
	case last.Sequence < end:
		v.BrokenAt, v.Why = last.Sequence+1, "the entry is missing"
	case last.Sequence > now: // each entry changes the head in its own transaction
		v.BrokenAt, v.Why = now+1, "the entry was put in: it lies behind the log's head"
	case last.Sequence == now && last.Hash != head:
		v.BrokenAt, v.Why = now, "the log's head names another last entry"
	}
	return v, nil
}
