package sqlstore

import (
	"testing"

	"github.com/commserver/commserver/internal/comm"
)

// TestSecurityKeysOfBeforeAreRead: rows may hold more of a key than this version keeps.
func TestSecurityKeysOfBeforeAreRead(t *testing.T) {
	t.Parallel()
	var got securityKeys
	err := got.Scan(`[{"id":"` + comm.NewID(1).String() + `","name":"blue","credential":"AQ==","publicKey":"Ag==","site":"localhost","synced":true,"count":7,"createdAt":5,"usedAt":6}]`)
	if err != nil || len(got) != 1 || got[0].Name != "blue" || got[0].Count != 7 || got[0].UsedAt != 6 {
		t.Errorf("%+v %v", got, err)
	}
}
