package postgres_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/postgres"
)

// A copy that PostgreSQL's own programs made is held by the rows that the documentation gives: they do what a restore does.
func TestTheRowsForACopyThatAnotherProgramMade(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../../docs/operate/backup.md")
	must(t, err)
	_, rows, found := strings.Cut(string(page), "```text\nUPDATE state ")
	rows, _, _ = strings.Cut(rows, "```")
	if !found {
		t.Fatal("the page has no rows")
	}
	url := migrated(t)
	s := opened(t, postgres.Options{URL: url})
	a, quiet := newApp(t, s), newApp(t, s)
	waits := submission(t, a, "ama@example.org")
	waits.Mode = comm.Live
	_, err = s.Accept(t.Context(), []store.Submission{waits})
	must(t, err)
	conn, err := pgx.Connect(t.Context(), url)
	must(t, err)
	defer func() { _ = conn.Close(t.Context()) }()
	_, err = conn.Exec(t.Context(), `INSERT INTO feed VALUES ($1, 7, 1, '')`, [16]byte(a.ID))
	must(t, err)
	began := comm.At(time.Now())
	_, err = conn.Exec(t.Context(), "UPDATE state "+rows)
	must(t, err)
	heads, err := s.Heads(t.Context(), []comm.ID{a.ID, quiet.ID})
	must(t, err)
	for _, head := range heads {
		if head < int64(began.Add(30*24*time.Hour)) {
			t.Errorf("the next place is behind %d", head)
		}
	}
	if places, err := s.Places(t.Context(), a.ID, 7, 10); err != nil || len(places) != 1 || !places[0].Gap || places[0].Position != heads[0] {
		t.Errorf("%+v %v", places, err)
	}
	if hold, err := s.Setting(t.Context(), store.HoldSetting); err != nil || !strings.Contains(hold, `"HELD"`) {
		t.Errorf("%q %v", hold, err)
	}
	m, err := s.Message(t.Context(), a.ID, waits.ID)
	must(t, err)
	if !m.Flags.Has(comm.PossibleDuplicate | comm.UnknownInGeneration | comm.UnknownEver) {
		t.Errorf("flags %b", m.Flags)
	}
}
