package webhook

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
)

// payloads are the files of testdata: what a forge sends under which header, and what is taken from
// it. They have the form that the forges' documentation shows.
var payloads = map[string]struct {
	sender *sender
	kind   string
	want   news
}{
	"gitea_push":              {gitea, "push", news{repository: "ml/platform", moved: "refs/heads/main"}},
	"gitea_push_tag":          {gitea, "push", news{repository: "ml/platform", moved: "refs/tags/v1.4.0"}},
	"gitea_pull_opened":       {gitea, "pull_request", news{repository: "ml/platform", pull: 12, bases: []string{"main"}}},
	"gitea_pull_synchronized": {gitea, "pull_request", news{repository: "ml/platform", pull: 12, bases: []string{"main"}}},
	"gitea_pull_closed":       {gitea, "pull_request", news{repository: "ml/platform", pull: 12, bases: []string{"main"}}},
	"gitea_pull_merged":       {gitea, "pull_request", news{repository: "ml/platform", pull: 12, bases: []string{"main"}, merged: true}},
	"gitea_pull_retargeted":   {gitea, "pull_request", news{repository: "ml/platform", pull: 12, bases: []string{"next", "main"}}},
	"gitea_pull_labeled":      {gitea, "pull_request", news{repository: "ml/platform", bases: []string{"main"}}},
	"gitea_review_approved":   {gitea, "pull_request_approved", news{repository: "ml/platform", pull: 12, bases: []string{"main"}}},
	"gitea_review_rejected":   {gitea, "pull_request_rejected", news{repository: "ml/platform", pull: 12, bases: []string{"main"}}},

	"github_push":              {github, "push", news{repository: "ml/platform", moved: "refs/heads/main"}},
	"github_push_tag":          {github, "push", news{repository: "ml/platform", moved: "refs/tags/v1.4.0"}},
	"github_push_deleted":      {github, "push", news{repository: "ml/platform", moved: "refs/heads/old-idea"}},
	"github_pull_opened":       {github, "pull_request", news{repository: "ml/platform", pull: 12, bases: []string{"main"}}},
	"github_pull_synchronize":  {github, "pull_request", news{repository: "ml/platform", pull: 12, bases: []string{"main"}}},
	"github_pull_closed":       {github, "pull_request", news{repository: "ml/platform", pull: 12, bases: []string{"main"}}},
	"github_pull_merged":       {github, "pull_request", news{repository: "ml/platform", pull: 12, bases: []string{"main"}, merged: true}},
	"github_pull_retargeted":   {github, "pull_request", news{repository: "ml/platform", pull: 12, bases: []string{"next", "main"}}},
	"github_pull_labeled":      {github, "pull_request", news{repository: "ml/platform", bases: []string{"main"}}},
	"github_pull_fork":         {github, "pull_request", news{repository: "ml/platform", pull: 31, bases: []string{"main"}}},
	"github_review_submitted":  {github, "pull_request_review", news{repository: "ml/platform", pull: 12, bases: []string{"main"}}},
	"github_review_dismissed":  {github, "pull_request_review", news{repository: "ml/platform", pull: 12, bases: []string{"main"}}},
	"github_ping":              {github, "ping", news{repository: "ml/platform", ping: true}},
	"github_ping_organization": {github, "ping", news{ping: true}},

	"gitlab_push":             {gitlab, "Push Hook", news{repository: "research/ml/platform", moved: "refs/heads/main"}},
	"gitlab_push_tag":         {gitlab, "Tag Push Hook", news{repository: "research/ml/platform", moved: "refs/tags/v1.4.0"}},
	"gitlab_merge_opened":     {gitlab, "Merge Request Hook", news{repository: "research/ml/platform", pull: 12, bases: []string{"main"}}},
	"gitlab_merge_updated":    {gitlab, "Merge Request Hook", news{repository: "research/ml/platform", pull: 12, bases: []string{"main"}}},
	"gitlab_merge_retargeted": {gitlab, "Merge Request Hook", news{repository: "research/ml/platform", pull: 12, bases: []string{"next", "main"}}},
	"gitlab_merge_closed":     {gitlab, "Merge Request Hook", news{repository: "research/ml/platform", pull: 12, bases: []string{"main"}}},
	"gitlab_merge_merged":     {gitlab, "Merge Request Hook", news{repository: "research/ml/platform", pull: 12, bases: []string{"main"}, merged: true}},
	"gitlab_approval":         {gitlab, "Merge Request Hook", news{repository: "research/ml/platform", pull: 12, bases: []string{"main"}}},
	"gitlab_approved":         {gitlab, "Merge Request Hook", news{repository: "research/ml/platform", pull: 12, bases: []string{"main"}}},
	"gitlab_unapproval":       {gitlab, "Merge Request Hook", news{repository: "research/ml/platform", pull: 12, bases: []string{"main"}}},
	"gitlab_unapproved":       {gitlab, "Merge Request Hook", news{repository: "research/ml/platform", pull: 12, bases: []string{"main"}}},
}

func TestPayloadsOfTheForges(t *testing.T) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) != len(payloads) {
		t.Fatalf("%d files for %d payloads: %v", len(files), len(payloads), err)
	}
	for name, p := range payloads {
		got, err := p.sender.parse(p.kind, payload(t, name))
		if err != nil || !reflect.DeepEqual(got, p.want) {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, p.want)
		}
		if !p.sender.kinds[p.kind] {
			t.Errorf("%s: %s is not read", name, p.kind)
		}
	}
}

func TestGarbage(t *testing.T) {
	for name, c := range map[string]struct {
		sender *sender
		kind   string
		body   string
	}{
		"nothing":             {github, "push", ``},
		"no JSON":             {github, "push", `ref=refs/heads/main`},
		"a list":              {github, "push", `[]`},
		"null":                {github, "push", `null`},
		"empty":               {github, "push", `{}`},
		"two":                 {github, "push", `{"ref":"refs/heads/main","repository":{"full_name":"a/b"}}{}`},
		"no reference":        {github, "push", `{"repository":{"full_name":"a/b"}}`},
		"a short reference":   {github, "push", `{"ref":"main","repository":{"full_name":"a/b"}}`},
		"a long reference":    {github, "push", `{"ref":"refs/heads/` + strings.Repeat("x", 300) + `","repository":{"full_name":"a/b"}}`},
		"no repository":       {github, "push", `{"ref":"refs/heads/main"}`},
		"HTML for a name":     {github, "push", `{"ref":"refs/heads/main","repository":{"full_name":"a/<script>"}}`},
		"lines in a name":     {github, "push", `{"ref":"refs/heads/main","repository":{"full_name":"a/b\nc"}}`},
		"a line after a name": {github, "push", `{"ref":"refs/heads/main","repository":{"full_name":"a/b\n"}}`},
		"a long name":         {github, "push", `{"ref":"refs/heads/main","repository":{"full_name":"a/` + strings.Repeat("b", 600) + `"}}`},
		"a ping for HTML":     {github, "ping", `{"repository":{"full_name":"<b>"}}`},
		"another type":        {github, "pull_request", `{"action":1,"pull_request":{"number":1},"repository":{"full_name":"a/b"}}`},
		"no number":           {github, "pull_request", `{"action":"opened","pull_request":{},"repository":{"full_name":"a/b"}}`},
		"a number below 1":    {github, "pull_request", `{"action":"opened","pull_request":{"number":-1},"repository":{"full_name":"a/b"}}`},
		"a large number":      {github, "pull_request", `{"action":"opened","pull_request":{"number":2147483648},"repository":{"full_name":"a/b"}}`},
		"a huge number":       {github, "pull_request", `{"action":"opened","pull_request":{"number":1e30},"repository":{"full_name":"a/b"}}`},
		"a long base":         {github, "pull_request", `{"action":"opened","pull_request":{"number":1,"base":{"ref":"` + strings.Repeat("x", 300) + `"}},"repository":{"full_name":"a/b"}}`},
		"deep":                {github, "push", `{"x":` + strings.Repeat("[", 200000)},
		"deep and whole":      {github, "push", `{"x":` + strings.Repeat("[", 200000) + strings.Repeat("]", 200000) + `}`},
		"no kind":             {gitlab, "Push Hook", `{"project":{"path_with_namespace":"a/b"}}`},
		"another kind":        {gitlab, "Push Hook", `{"object_kind":"note","project":{"path_with_namespace":"a/b"}}`},
		"GitLab: no number":   {gitlab, "Merge Request Hook", `{"object_kind":"merge_request","project":{"path_with_namespace":"a/b"}}`},
		"GitLab: no project":  {gitlab, "Push Hook", `{"object_kind":"push","ref":"refs/heads/main"}`},
	} {
		if got, err := c.sender.parse(c.kind, []byte(c.body)); err == nil {
			t.Errorf("%s: taken for %+v", name, got)
		}
	}
}

func TestWhatMatters(t *testing.T) {
	for _, c := range []struct {
		ref   string
		news  news
		fetch bool
		pulls bool
	}{
		{"refs/heads/main", news{moved: "refs/heads/main"}, true, false},
		{"refs/heads/main", news{moved: "refs/heads/mainly"}, false, false},
		{"refs/heads/main", news{moved: "refs/heads/x/main"}, false, false},
		{"refs/heads/main", news{moved: "refs/tags/main"}, false, false},
		{"refs/heads/", news{moved: "refs/heads/anything"}, true, false},
		{"refs/heads/", news{moved: "refs/tags/v1"}, false, false},
		{"refs/tags/", news{moved: "refs/tags/v1"}, true, false},
		{"refs/tags/v1", news{moved: "refs/tags/v2"}, false, false},
		{"", news{moved: "refs/heads/main"}, false, false},
		{"refs/heads/main", news{anything: true}, true, false},
		{"refs/heads/main", news{pull: 3, bases: []string{"main"}}, false, true},
		{"refs/heads/main", news{pull: 3, bases: []string{"main"}, merged: true}, true, true},
		{"refs/heads/main", news{pull: 3, bases: []string{"next"}, merged: true}, false, false},
		{"refs/heads/main", news{pull: 3, bases: []string{"next", "main"}}, false, true},
		{"refs/heads/main", news{bases: []string{"main"}}, false, false},
		{"refs/tags/", news{pull: 3, bases: []string{"main"}}, false, false},
		{"", news{pull: 3, bases: []string{""}}, false, false},
	} {
		got, any := c.news.event(Target{Ref: c.ref})
		if got.Fetch != c.fetch || got.Pulls != c.pulls || any != (c.fetch || c.pulls) {
			t.Errorf("%q, %+v: %+v, %v", c.ref, c.news, got, any)
		}
	}
}

func TestRef(t *testing.T) {
	for _, c := range []struct {
		ref  *v1alpha1.RepositoryRef
		want string
	}{
		{nil, "refs/heads/"},
		{&v1alpha1.RepositoryRef{}, "refs/heads/"},
		{&v1alpha1.RepositoryRef{Name: "HEAD"}, "refs/heads/"},
		{&v1alpha1.RepositoryRef{Branch: "main"}, "refs/heads/main"},
		{&v1alpha1.RepositoryRef{Tag: "v1"}, "refs/tags/v1"},
		{&v1alpha1.RepositoryRef{SemVer: ">=1"}, "refs/tags/"},
		{&v1alpha1.RepositoryRef{Name: "refs/pull/4/head"}, "refs/pull/4/head"},
		{&v1alpha1.RepositoryRef{Branch: "main", Commit: strings.Repeat("a", 40)}, ""},
	} {
		if got := Ref(c.ref); got != c.want {
			t.Errorf("%+v: %q, want %q", c.ref, got, c.want)
		}
	}
}

func TestNamesOfRepositories(t *testing.T) {
	for _, c := range []struct {
		name, url string
		want      bool
	}{
		{"ml/platform", "https://git.example.com/ml/platform.git", true},
		{"ml/platform", "https://git.example.com/ml/platform", true},
		{"ml/platform", "https://git.example.com/ml/platform/", true},
		{"ML/Platform", "https://git.example.com/ml/platform.git", true},
		{"ml/platform", "git@git.example.com:ml/platform.git", true},
		{"ml/platform", "ssh://git@git.example.com:2222/ml/platform.git", true},
		{"ml/platform", "https://example.com/gitea/ml/platform.git", true},
		{"research/ml/platform", "https://gitlab.example.com/research/ml/platform.git", true},
		{"ml/platform", "https://git.example.com/ml/platform2.git", false},
		{"ml/platform", "https://git.example.com/xml/platform.git", false},
		{"ml/platform", "https://ml/platform.git", false},
		{"stranger/platform", "https://git.example.com/ml/platform.git", false},
	} {
		if got := isAt(c.name, c.url); got != c.want {
			t.Errorf("%s at %s: %v", c.name, c.url, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	for name, p := range payloads {
		body, err := os.ReadFile("testdata/" + name + ".json")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(p.kind, body)
	}
	target := Target{Ref: "refs/heads/main", URL: "https://git.example.com/ml/platform.git"}
	f.Fuzz(func(t *testing.T, kind string, body []byte) {
		for _, s := range []*sender{gitea, gitlab, github} {
			n, err := s.parse(kind, body)
			if err != nil {
				if !reflect.DeepEqual(n, news{}) {
					t.Fatalf("an error, and yet %+v", n)
				}
				continue
			}
			if !json.Valid(body) {
				t.Fatal("taken although it is no JSON")
			}
			if n.repository != "" && !named(n.repository) || n.repository == "" && !n.ping {
				t.Fatalf("the name %q", n.repository)
			}
			if n.pull < 0 || n.pull > 1<<31-1 || len(n.moved) > longestRef || len(n.bases) > 3 {
				t.Fatalf("out of bounds: %+v", n)
			}
			e, any := n.event(target)
			if any != (e.Fetch || e.Pulls) {
				t.Fatalf("%+v makes %+v", n, e)
			}
			isAt(n.repository, target.URL)
		}
	})
}

// gitea and github are in the list of senders only.
var gitea, github = identify(http.Header{"X-Gitea-Event": {"push"}}), identify(http.Header{"X-Github-Event": {"push"}})

func payload(t testing.TB, name string) []byte {
	t.Helper()
	body, err := os.ReadFile("testdata/" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	return body
}
