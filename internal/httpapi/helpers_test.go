package httpapi

import (
	"context"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

func putOnList(t *testing.T, w *world, app *comm.App, ch comm.Channel, address string) {
	t.Helper()
	if _, err := w.store.Suppress(context.Background(), store.Suppression{App: app.ID, Channel: ch, Address: address, Reason: comm.SuppressManual, CreatedAt: comm.At(time.Now())}); err != nil {
		t.Fatal(err)
	}
}
