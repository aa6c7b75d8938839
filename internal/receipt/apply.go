package receipt

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/store"
)

// Lengths of what is stored of a report, in bytes.
const (
	maxRef  = 256 // as much as a send's answer keeps of it
	maxCode = 64
	maxText = 256
)

// A request that the store refuses for what is in it is given up after so many tries and so long.
const (
	maxTries    = 5
	giveUpAfter = time.Hour
	restAfter   = time.Second // after each try, longer by as much each time
	maxRest     = time.Minute
)

// applyLoop applies what this node has stored, as it comes.
func (s *Service) applyLoop(ctx context.Context) {
	for {
		select {
		case <-s.held.wake:
			s.applyHeld(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// applyHeld applies what waits in memory. What cannot be applied now is left to the leader, who reads it from the database.
func (s *Service) applyHeld(ctx context.Context) {
	for ctx.Err() == nil {
		some := s.held.take(applyMost)
		if len(some) == 0 {
			return
		}
		s.outcome(ctx, s.applyReceipts(ctx, some))
		s.held.done(some)
	}
}

// outcome notes whether the store could apply.
func (s *Service) outcome(ctx context.Context, err error) {
	switch {
	case err == nil:
		s.failing.Worked()
	case ctx.Err() == nil:
		s.failing.Failed(err)
	}
}

// applyReceipts reads stored requests and applies what they say. A request that the store refuses for what is in
// it stands alone in the end: what it says is put off, and what cannot even be that goes after some tries.
func (s *Service) applyReceipts(ctx context.Context, all []store.Receipt) error {
	b, err := s.read(ctx, all)
	read := err == nil
	if read {
		err = s.apply(ctx, b)
	}
	if err == nil || s.stuck(ctx, err) {
		return err
	}
	if half := len(all) / 2; half > 0 {
		return errors.Join(s.applyReceipts(ctx, all[:half]), s.applyReceipts(ctx, all[half:]))
	}
	if read && len(b.Reports) > 0 {
		if err = s.putOff(ctx, b, err); err == nil || s.stuck(ctx, err) {
			return err
		}
	}
	patience := giveUpAfter
	if !read {
		patience = store.ParkedFor // it may be a person's opt-out, which no list has yet
	}
	return s.refused(ctx, &all[0], patience, err)
}

// refused counts the tries of a request that stands alone.
func (s *Service) refused(ctx context.Context, x *store.Receipt, patience time.Duration, err error) error {
	if !s.exhausted(x, patience) {
		return err
	}
	s.cfg.Log.ErrorContext(ctx, "a report cannot be applied and is given up", "provider", x.Type, "config", x.Provider.String(), "err", err)
	s.dropped.Add(1)
	_, err = s.cfg.Store.Apply(ctx, store.ReportBatch{Node: s.cfg.Node, Receipts: []comm.ID{x.ID}})
	return err
}

// read takes requests apart. People's own opt-outs are applied here: to do so twice changes nothing.
func (s *Service) read(ctx context.Context, all []store.Receipt) (store.ReportBatch, error) {
	b := store.ReportBatch{Node: s.cfg.Node}
	for i := range all {
		x := &all[i]
		b.Receipts = append(b.Receipts, x.ID)
		reports, err := s.readOne(x)
		if err != nil {
			s.unreadable.Add(1)
			if left, ok := s.odd.Speak(s.cfg.Now()); ok {
				s.cfg.Log.WarnContext(ctx, "a report cannot be read and is left out", "provider", x.Type, "config", x.Provider.String(), "err", err, "unsaid", left)
			}
			continue
		}
		for k := range reports {
			r := &reports[k]
			if r.Fate == comm.FateOptedOut || r.Fate == comm.FateOptedIn {
				if err := s.opted(ctx, x, r); err != nil {
					return b, err
				}
				continue
			}
			out := store.Report{Receipt: x.ID, Owner: x.Owner, Provider: x.Provider, Name: lower(x.Type), Message: r.Message, Attempt: r.Attempt, Since: x.At}
			fill(&out, r)
			b.Reports = append(b.Reports, out)
		}
	}
	return b, s.resolve(ctx, b.Reports)
}

// fill copies what a report says in words, as it can be stored.
func fill(out *store.Report, r *provider.Report) {
	out.Ref, out.Fate, out.Correctable = comm.Storable(r.Ref, maxRef), r.Fate, r.Correctable
	out.Code, out.Text = comm.Storable(r.Code, maxCode), comm.Storable(r.Text, maxText)
	for _, word := range comm.SuppressionReasons() {
		if r.Suppress == word.Code {
			out.Suppress = r.Suppress
		}
	}
}

// readOne reads a request, whatever the adapter makes of it.
func (s *Service) readOne(x *store.Receipt) (out []provider.Report, err error) {
	adapter := s.adapters[lower(x.Type)]
	if x.Provider.IsZero() { // it came through no configuration: Rehearse has stored it
		adapter = &s.cfg.Sandbox
	}
	if adapter == nil || adapter.Reporting == nil || adapter.Reporting.Read == nil {
		return nil, errNoReader
	}
	defer func() {
		if v := recover(); v != nil { // the value may hold what was read
			out, err = nil, fmt.Errorf("the adapter failed on it: %T", v)
		}
	}()
	if out, err = adapter.Reporting.Read(s.callback(x)); err != nil {
		// Its text may quote what came in.
		return nil, fmt.Errorf("the adapter cannot read it: %T", err)
	}
	return out, nil
}

var errNoReader = errors.New("no adapter reads reports of this type")

// resolve finds the apps of messages that our own callback URL named. Those of an app's own configuration can be none but its own.
func (s *Service) resolve(ctx context.Context, reports []store.Report) error {
	for i := range reports {
		r := &reports[i]
		if r.Message.IsZero() {
			continue
		}
		if r.App = r.Owner; !r.App.IsZero() {
			continue
		}
		app, err := s.cfg.Store.AppOf(ctx, r.Message)
		if err != nil && !comm.IsKind(err, comm.Missing) {
			return fmt.Errorf("look up a report's message: %w", err)
		}
		r.App = app
	}
	return nil
}

// apply applies a batch, in parts that hold a writer for a moment only. The last part of a request's reports removes it.
func (s *Service) apply(ctx context.Context, b store.ReportBatch) error {
	for len(b.Reports) > applyMost {
		n := applyMost
		for n < len(b.Reports) && !b.Reports[n].Receipt.IsZero() && b.Reports[n].Receipt == b.Reports[n-1].Receipt {
			n++ // a request goes in one transaction with all that it says
		}
		part := store.ReportBatch{Node: b.Node, Reports: b.Reports[:n]}
		b.Reports = b.Reports[n:]
		part.Receipts, b.Receipts = split(part.Reports, b.Receipts)
		if err := s.applyPart(ctx, part); err != nil {
			return err
		}
	}
	return s.applyPart(ctx, b)
}

// split takes the requests of reports out of a list.
func split(reports []store.Report, all []comm.ID) (of, rest []comm.ID) {
	named := make(map[comm.ID]bool, len(reports))
	for i := range reports {
		named[reports[i].Receipt] = true
	}
	for _, id := range all {
		if named[id] {
			of = append(of, id)
		} else {
			rest = append(rest, id)
		}
	}
	return of, rest
}

func (s *Service) applyPart(ctx context.Context, b store.ReportBatch) error {
	for i := range b.Reports {
		if a := s.adapters[b.Reports[i].Name]; a != nil {
			b.Reports[i].Within = a.Home
		}
	}
	results, err := s.cfg.Store.Apply(ctx, b)
	if err != nil {
		return fmt.Errorf("apply reports: %w", err)
	}
	dropped := 0
	for i, r := range results {
		switch r {
		case store.ReportMoved:
			s.moved.Add(1)
		case store.ReportLogged:
			s.logged.Add(1)
		case store.ReportKnown:
			s.known.Add(1)
		case store.ReportParked:
			s.parked.Add(1)
			if x := &b.Reports[i]; !x.Later && comm.At(s.cfg.Now()).Sub(x.Since) > unmatchedAfter {
				s.unmatchedReport(ctx, x)
			}
		case store.ReportDropped:
			dropped++
			if x := &b.Reports[i]; x.Later {
				s.cfg.Log.ErrorContext(ctx, "a report could not be applied for 72 hours and is dropped", "provider", x.Name, "config", x.Provider.String(), "ref", x.Ref)
			} else if dropped == 1 {
				s.cfg.Log.WarnContext(ctx, "reports found no message for 72 hours and are dropped", "provider", x.Name, "config", x.Provider.String())
			}
		}
	}
	s.dropped.Add(int64(dropped))
	return nil
}

// unmatchedAfter is how long a report finds no message before somebody should look: early ones have found theirs long before.
const unmatchedAfter = time.Hour

// unmatchedReport tells the operator, once in a while, that reports find no message: ids in a form that nobody expects, perhaps.
func (s *Service) unmatchedReport(ctx context.Context, x *store.Report) {
	if left, ok := s.unmatched.Speak(s.cfg.Now()); ok {
		s.cfg.Log.WarnContext(ctx, "reports of a provider name no message that is known here", "provider", x.Name, "config", x.Provider.String(), "ref", x.Ref, "unsaid", left)
	}
}
