package forge

import (
	"crypto/rand"
	"encoding/base64"
	"strings"
)

// settings is Gitea's app.ini.
func (s *Server) settings(static string) string {
	secret := make([]byte, 32)
	rand.Read(secret)
	return strings.NewReplacer(
		"{dir}", s.Dir,
		"{socket}", s.socket(),
		"{url}", s.URL,
		"{static}", static,
		"{secret}", rand.Text(),
		"{token}", rand.Text()+rand.Text(),
		"{jwt}", base64.RawURLEncoding.EncodeToString(secret),
	).Replace(appINI)
}

// appINI leaves on what a client or a browser meets, and turns off what works by itself.
const appINI = `
APP_NAME = Gitea
RUN_MODE = prod
WORK_PATH = {dir}
I_AM_BEING_UNSAFE_RUNNING_AS_ROOT = true

[server]
PROTOCOL = http+unix
HTTP_ADDR = {socket}
ROOT_URL = {url}/
PUBLIC_URL_DETECTION = never
STATIC_ROOT_PATH = {static}
OFFLINE_MODE = true
DISABLE_SSH = true
LFS_START_SERVER = false

[security]
INSTALL_LOCK = true
SECRET_KEY = {secret}
INTERNAL_TOKEN = {token}
PASSWORD_HASH_ALGO = pbkdf2$1000$50

[database]
DB_TYPE = sqlite3
PATH = {dir}/gitea.db

[repository]
ROOT = {dir}/repositories
DEFAULT_BRANCH = main
DISABLE_MIGRATIONS = true

[repository.signing]
SIGNING_KEY = none

[service]
DISABLE_REGISTRATION = true
DEFAULT_KEEP_EMAIL_PRIVATE = false
ENABLE_TIMETRACKING = false
AUTO_WATCH_NEW_REPOS = false

[webhook]
ALLOWED_HOST_LIST = loopback
PAGING_NUM = 100

[log]
MODE = console
LEVEL = Warn

; Nothing outlives the process.
[queue]
TYPE = channel

[session]
PROVIDER = memory

[oauth2]
ENABLED = false
JWT_SECRET = {jwt}

[openid]
ENABLE_OPENID_SIGNIN = false

; What Gitea does by the clock, and what takes time or room without a use here.
[cron]
ENABLED = false
RUN_AT_START = false

[cron.update_checker]
ENABLED = false

[indexer]
ISSUE_INDEXER_TYPE = db
REPO_INDEXER_ENABLED = false

[actions]
ENABLED = false

[packages]
ENABLED = false

[mirror]
ENABLED = false

[federation]
ENABLED = false
`
