package sqlite

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// The terms that messages are searched by are written behind the accepts, from
// content, in sorted batches: a row at a random place of a large tree costs a page
// of the log, which an accept of its own would pay for each recipient.
const (
	indexPause = 400 * time.Millisecond // what is accepted in it is one batch
	indexBatch = 2_048                  // messages
	indexSlice = 400                    // terms in one operation of the writer
	indexRetry = 5 * time.Second        // after a failure
	indexMark  = "search_indexed"
	// recipientTerm is the kind of recipients in table terms, beside the kinds of package store.
	recipientTerm store.TermKind = 0
)

var (
	qMark    = &query{`SELECT value FROM settings WHERE name = ?`}
	qMarkSet = &query{`INSERT INTO settings (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value`}
	// Content without the words tags and templateKey, in quotes, has none: it is not worth copying.
	qUnindexed = &query{`SELECT rowid, app_id, id, recipient, CASE WHEN instr(payload, x'227461677322') > 0 OR instr(payload, x'2274656d706c6174654b657922') > 0 THEN payload END
		FROM content WHERE rowid >= ? ORDER BY rowid LIMIT ?`}
	qTermInsert = &query{`INSERT INTO terms (app_id, kind, value, id) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING`}
)

// indexer runs the indexing of a store. The zero value does nothing until start.
type indexer struct {
	woken  chan struct{}
	cancel context.CancelFunc
	done   sync.WaitGroup
	once   sync.Once
}

// start begins to index what is there and what wake tells of.
func (x *indexer) start(s *Store) {
	x.once.Do(func() {
		ctx, cancel := context.WithCancel(context.Background())
		x.woken, x.cancel = make(chan struct{}, 1), cancel
		x.wake()
		x.done.Go(func() { x.run(ctx, s) })
	})
}

// wake says that there is content to index.
func (x *indexer) wake() {
	select {
	case x.woken <- struct{}{}:
	default:
	}
}

// stop waits for the batch under way to be given up. What is missing is indexed after the next start.
func (x *indexer) stop() {
	if x.cancel != nil {
		x.cancel()
		x.done.Wait()
	}
}

func (x *indexer) run(ctx context.Context, s *Store) {
	for pause := indexPause; ; {
		select {
		case <-x.woken:
		case <-ctx.Done():
			return
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
		pause = indexPause
		for more := true; more && ctx.Err() == nil; {
			var err error
			if more, err = s.indexBatch(ctx); err != nil && ctx.Err() == nil && s.w.fault() == nil {
				s.log.Error("messages accepted lately cannot be searched for yet", "error", err)
				pause = indexRetry
				x.wake()
			}
		}
	}
}

// term is a row of table terms.
type term struct {
	app, id comm.ID
	store.Term
}

// indexBatch writes the terms of the next content rows; more says that there are further ones.
// The mark moves with the last slice: a batch that is given up is written again.
func (s *Store) indexBatch(ctx context.Context) (more bool, err error) {
	var terms []term
	var mark string
	n := 0
	err = s.readers.with(ctx, func(r *raw) error {
		return r.in(func() (err error) { terms, mark, n, err = unindexed(r); return err })
	})
	if err != nil || n == 0 {
		return false, err
	}
	slices.SortFunc(terms, func(a, b term) int {
		return cmp.Or(bytes.Compare(a.app[:], b.app[:]), cmp.Compare(a.Kind, b.Kind), strings.Compare(a.Value, b.Value), a.id.Compare(b.id))
	})
	for first := true; first || len(terms) > 0; first = false {
		slice := terms[:min(indexSlice, len(terms))]
		terms = terms[len(slice):]
		last := len(terms) == 0
		err := s.w.hot(ctx, len(slice)+1, func(r *raw) error {
			for i := range slice {
				t := &slice[i]
				if _, err := r.run(qTermInsert, t.app[:], int64(t.Kind), t.Value, t.id[:]); err != nil {
					return fmt.Errorf("store term: %w", err)
				}
			}
			if !last {
				return nil
			}
			_, err := r.run(qMarkSet, indexMark, mark)
			return err
		})
		if err != nil {
			return false, fmt.Errorf("index: %w", err)
		}
	}
	return n == indexBatch, nil
}

// unindexed reads the terms of the content rows after the mark. The mark names the
// last row that is indexed, by number and id: where another one has its number,
// rows were renumbered or removed, and everything is indexed again.
func unindexed(r *raw) (terms []term, mark string, n int, err error) {
	row, err := r.one(qMark, indexMark)
	if err != nil {
		return nil, "", 0, err
	}
	at, after := int64(0), ""
	if row != nil {
		after = text(row[0])
		if _, err := fmt.Sscanf(after, "%d ", &at); err != nil {
			return nil, "", 0, fmt.Errorf("read the mark: %w", err)
		}
	}
	if terms, mark, n, err = termsFrom(r, at, after); err != nil && errors.Is(err, errRenumbered) {
		terms, mark, n, err = termsFrom(r, 0, "")
	}
	return terms, mark, n, err
}

var errRenumbered = errors.New("the last row that was indexed is another one now")

func termsFrom(r *raw, at int64, after string) (terms []term, mark string, n int, err error) {
	known := after == ""
	err = r.each(qUnindexed, []value{at, int64(indexBatch + 1)}, func(v []value) error {
		app, id := idOf(v[1]), idOf(v[2])
		if n == indexBatch {
			return errStop
		}
		mark = fmt.Sprintf("%d %s", num(v[0]), hex.EncodeToString(id[:]))
		if !known {
			if known = mark == after; known {
				return nil
			}
			return errRenumbered
		}
		n++
		if to := text(v[3]); to != "" {
			terms = append(terms, term{app, id, store.Term{Kind: recipientTerm, Value: to}})
		}
		if payload := blob(v[4]); payload != nil {
			var c comm.Content
			_ = store.DecodeContent(payload, &c) // what cannot be read has no words, and keeps no other message from being found
			for _, word := range store.ContentTerms(&c) {
				terms = append(terms, term{app, id, word})
			}
		}
		return nil
	})
	if errors.Is(err, errStop) {
		err = nil
	}
	if err == nil && !known {
		err = errRenumbered
	}
	return terms, mark, n, err
}
