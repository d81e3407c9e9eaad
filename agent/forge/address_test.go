package forge

import (
	"strings"
	"testing"
)

func TestLocate(t *testing.T) {
	for _, c := range []struct {
		provider        Provider
		repository, api string
		wantAPI, want   string
	}{
		{GitHub, "https://github.com/ml/platform.git", "", "https://api.github.com", "ml/platform"},
		{GitHub, "https://GitHub.com/ml/platform/", "", "https://api.github.com", "ml/platform"},
		{GitHub, "git@github.com:ml/platform.git", "", "https://api.github.com", "ml/platform"},
		{GitHub, "ssh://git@github.com/ml/platform", "", "https://api.github.com", "ml/platform"},
		{GitHub, "ssh://git@ssh.github.com:443/ml/platform.git", "", "https://api.github.com", "ml/platform"},
		{GitHub, "https://octocorp.ghe.com/ml/platform", "", "https://api.octocorp.ghe.com", "ml/platform"},
		{GitHub, "https://git.example.com:8443/ml/platform", "", "https://git.example.com:8443/api/v3", "ml/platform"},
		{GitHub, "https://git.example.com/ml/platform", "https://api.example.com/gh/", "https://api.example.com/gh", "ml/platform"},
		{Gitea, "https://git.example.com/ml/platform.git", "", "https://git.example.com/api/v1", "ml/platform"},
		{Gitea, "https://git.example.com/a/gitea/ml/platform.git", "", "https://git.example.com/a/gitea/api/v1", "ml/platform"},
		{Gitea, "ssh://git@git.example.com:2222/ml/platform.git", "", "https://git.example.com/api/v1", "ml/platform"},
		{Gitea, "ssh://git@git.example.com:2222/ml/platform.git", "https://git.example.com:3000", "https://git.example.com:3000/api/v1", "ml/platform"},
		{Gitea, "git@git.example.com:ml/platform.git", "https://git.example.com/gitea/api/v1/", "https://git.example.com/gitea/api/v1", "ml/platform"},
		{Gitea, "https://git.example.com/ml/pl.at_f-orm.git", "", "https://git.example.com/api/v1", "ml/pl.at_f-orm"},
		{Gitea, "ssh://git@[fd12::1]:22/ml/platform", "", "https://[fd12::1]/api/v1", "ml/platform"},
		{GitLab, "https://gitlab.com/ml/platform.git", "", "https://gitlab.com/api/v4", "ml/platform"},
		{GitLab, "git@altssh.gitlab.com:ml/platform.git", "", "https://gitlab.com/api/v4", "ml/platform"},
		{GitLab, "https://git.example.com/ml/risk/fraud/platform.git", "", "https://git.example.com/api/v4", "ml/risk/fraud/platform"},
		{GitLab, "https://git.example.com/gitlab/ml/risk/platform", "https://git.example.com/gitlab/api/v4", "https://git.example.com/gitlab/api/v4", "ml/risk/platform"},
		{GitLab, "ssh://git@git.example.com/ml/risk/platform", "https://git.example.com/gitlab", "https://git.example.com/gitlab/api/v4", "ml/risk/platform"},
	} {
		p, err := locate(c.provider, c.repository, c.api, false)
		if err != nil {
			t.Errorf("%s %s: %v", c.provider, c.repository, err)
			continue
		}
		if p.api.String() != c.wantAPI || p.path != c.want {
			t.Errorf("%s %s: %s of %s, want %s of %s", c.provider, c.repository, p.path, p.api, c.want, c.wantAPI)
		}
	}
	for _, c := range []struct {
		provider        Provider
		repository, api string
		want            string
	}{
		{"bitbucket", "https://bitbucket.org/a/b", "", "use gitea, github or gitlab"},
		{Gitea, "http://git.example.com/ml/platform", "", "use https"},
		{Gitea, "https://git.example.com/ml/platform", "http://git.example.com", "use https"},
		{Gitea, "file:///srv/git/ml/platform", "", "no URL of a repository on a forge"},
		{Gitea, "git://git.example.com/ml/platform", "", "https or ssh"},
		{Gitea, "https://me:s3cret@git.example.com/ml/platform", "", "holds credentials"},
		{Gitea, "https://git.example.com/platform", "", "no owner and name"},
		{Gitea, "https://git.example.com/", "", "no owner and name"},
		{Gitea, "https://git.example.com/ml/..", "", "no owner and name"},
		{Gitea, "https://git.example.com/../ml/x", "", "no owner and name"},
		{GitHub, "https://github.com/ml/a%2f..%2f..%2fuser", "", "no owner and name"},
		{GitHub, "https://github.com/ml/a?b", "", "no URL of a repository"},
		{GitHub, "https://github.com/ml/a%3Fb", "", "no owner and name"},
		{GitHub, "https://github.com/ml/a b", "", "no owner and name"},
		{GitHub, "https://github.com/ml/risk/platform", "", "more than an owner and a name"},
		{GitHub, "ext::sh -c id", "", "no URL of a repository"},
		{GitHub, "https://github.com/ml/platform", "api.github.com", "not one"},
		{GitHub, "https://github.com/ml/platform", "https://me:s3cret@api.github.com", "not one"},
		{GitLab, "https://git.example.com/ml/platform", "https://git.example.com/api/v4?private_token=s3cret", "not one"},
	} {
		_, err := locate(c.provider, c.repository, c.api, false)
		e, ok := err.(*Error)
		if !ok || e.Kind != Invalid || !strings.Contains(e.Message, c.want) || strings.Contains(e.Message, "s3cret") {
			t.Errorf("%s %s: %v, want %q", c.provider, c.repository, err, c.want)
		}
	}
}
