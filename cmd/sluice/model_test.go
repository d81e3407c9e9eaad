package main

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/sluice-dev/sluice/e2e/objectstore"
)

// TestObjectStoreScripts runs what needs object storage: a real S3 server. All scripts share a
// bucket.
func TestObjectStoreScripts(t *testing.T) {
	if testing.Short() {
		t.Skip("needs the S3 server")
	}
	store, err := objectstore.Start(t.Context(), objectstore.Options{Progress: os.Stderr})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // when the scripts, which run in parallel, are done
		if err := store.Stop(); err != nil {
			t.Error(err)
		}
	})
	const bucket = "models"
	if err := store.CreateBucket(t.Context(), bucket); err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script/objectstore", RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			offline(env)
			for name, value := range map[string]string{
				"ENDPOINT": store.Endpoint, "BUCKET": bucket, "AWS_REGION": objectstore.Region,
				"AWS_ACCESS_KEY_ID": store.AccessKey, "AWS_SECRET_ACCESS_KEY": store.SecretKey,
			} {
				env.Setenv(name, value)
			}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			// put KEY FILE uploads a file.
			"put": func(ts *testscript.TestScript, _ bool, args []string) {
				file, err := os.Open(ts.MkAbs(args[1]))
				ts.Check(err)
				defer file.Close()
				ts.Check(store.Put(t.Context(), bucket, args[0], file))
			},
		},
	})
}
