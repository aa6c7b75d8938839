package sqlstore_test

import (
	"testing"
	"testing/fstest"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store/sqlstore"
)

func TestIDIsReadInEveryStoredForm(t *testing.T) {
	t.Parallel()
	want := comm.NewID(1_760_000_000_000_000)
	for name, src := range map[string]any{
		"bytes": want[:], "uuid text": sqlstore.UUID(want), "uuid text as bytes": []byte(sqlstore.UUID(want)), "array": [16]byte(want),
	} {
		var got sqlstore.ID
		if err := got.Scan(src); err != nil || comm.ID(got) != want {
			t.Errorf("%s: %v %v", name, comm.ID(got), err)
		}
	}
	for name, src := range map[string]any{"short": []byte{1}, "no uuid": "01020304-0506-0708-090a-0b0c0d0e0fzz", "without dashes": "0102030405060708090a0b0c0d0e0f100102", "number": int64(1), "null": nil} {
		var got sqlstore.ID
		if err := got.Scan(src); err == nil {
			t.Errorf("%s is read as an id", name)
		}
	}
	if got := sqlstore.UUID(comm.ID{0: 0x01, 15: 0xff}); got != "01000000-0000-0000-0000-0000000000ff" {
		t.Error(got)
	}
}

func TestMigrationsAreReadInOrder(t *testing.T) {
	t.Parallel()
	fs := fstest.MapFS{"m/0002_b.sql": {Data: []byte("b")}, "m/0001_a.sql": {Data: []byte("a")}, "m/0010_c.sql": {Data: []byte("c")}, "m/readme.md": {Data: []byte("no")}}
	list, err := sqlstore.LoadMigrations(fs, "m")
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 3 || list[0].Name != "0001_a" || list[1].Name != "0002_b" || list[2].Name != "0010_c" || list[0].SQL != "a" || list[0].Sum == list[1].Sum || len(list[0].Sum) != 64 {
		t.Fatalf("%+v", list)
	}
}
