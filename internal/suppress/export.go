package suppress

import (
	"context"
	"encoding/csv"
	"io"

	"github.com/go-json-experiment/json"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// exportPage is how many rows are read at once; no transaction lasts between two pages.
const exportPage = 500

// Page reads the app's list from after what last names, in order of channel and
// address; no more come when it answers none.
func (s *Service) Page(ctx context.Context, app comm.ID, last store.Suppression) ([]store.Suppression, error) {
	return s.cfg.Store.SuppressionsAfter(ctx, app, last.Channel, last.Address, exportPage)
}

// Header writes what stands before the first row.
func Header(to io.Writer, f Format) error {
	if f != CSV {
		return nil
	}
	w := csv.NewWriter(to)
	w.UseCRLF = true
	if err := w.Write(columns()); err != nil {
		return err
	}
	w.Flush()
	return w.Error()
}

// row is a line of a JSON export.
type row struct {
	Channel   string `json:"channel"`
	Address   string `json:"address"`
	Reason    string `json:"reason"`
	Note      string `json:"note"`
	Source    string `json:"source"`
	CreatedAt string `json:"createdAt"`
}

// Rows writes a page so that Import reads it back.
func Rows(to io.Writer, f Format, page []store.Suppression) error {
	w := csv.NewWriter(to)
	w.UseCRLF = true
	for i := range page {
		s := &page[i]
		if f == CSV {
			if err := w.Write([]string{s.Channel.String(), guarded(s.Address), s.Reason, guarded(s.Note), s.Source, s.CreatedAt.String()}); err != nil {
				return err
			}
			continue
		}
		line, err := json.Marshal(row{s.Channel.String(), s.Address, s.Reason, s.Note, s.Source, s.CreatedAt.String()})
		if err != nil {
			return err
		}
		if _, err := to.Write(append(line, '\n')); err != nil {
			return err
		}
	}
	w.Flush()
	return w.Error()
}
