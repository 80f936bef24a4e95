// An OpenID provider for tests, on loopback: a person for each role, whose password is their name.
// The address /test/rotate changes the keys; nothing here is meant for anyone else.
//   PORT   where it listens
//   HUBS   addresses of hubs that may send people here; the first is told when somebody leaves
//   THIN   if set, the ID token holds no more than it must: the rest is at UserInfo, signed
import { createServer } from 'node:http'
import { generateKeyPairSync, randomUUID } from 'node:crypto'
import Provider from 'oidc-provider'

const port = Number(process.env.PORT)
const issuer = `http://127.0.0.1:${port}`
const hubs = (process.env.HUBS || 'http://127.0.0.1:8000,http://testserver').split(',')
const thin = Boolean(process.env.THIN)

const key = () => ({
  ...generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' }),
  kid: randomUUID(),
  use: 'sig',
  alg: 'ES256',
})

const people = {
  operator: { roles: ['hub-operator'], organisation: 'region' },
  steward: { roles: ['hub-steward'], organisation: 'region' },
  dpo: { roles: ['hub-dpo'], organisation: 'region' },
  auditor: { roles: ['hub-auditor'], organisation: 'cnil' },
  partner: { roles: ['hub-partner'], organisation: 'transdev' },
  collectivity: { roles: ['hub-collectivity'], organisation: 'orleans' },
  school: { roles: ['hub-school'], organisation: '0450040H' },
  visitor: { roles: [], organisation: 'elsewhere' },
  homeless: { roles: ['hub-dpo'] },
}

function provider(keys) {
  const made = new Provider(issuer, {
    jwks: { keys },
    clients: [
      {
        client_id: 'hub',
        client_secret: 'hub-secret-of-the-tests',
        redirect_uris: hubs.map((hub) => `${hub}/login/callback`),
        post_logout_redirect_uris: hubs.map((hub) => `${hub}/`),
        backchannel_logout_uri: `${hubs[0]}/login/ended`,
        backchannel_logout_session_required: true,
        id_token_signed_response_alg: 'ES256',
        ...(thin && { userinfo_signed_response_alg: 'ES256' }),
        response_types: ['code'],
        grant_types: ['authorization_code'],
      },
    ],
    claims: { openid: ['sub'], profile: ['name', 'roles', 'organisation'] },
    conformIdTokenClaims: thin,
    pkce: { required: () => true },
    features: {
      backchannelLogout: { enabled: true },
      devInteractions: { enabled: true },
      jwtUserinfo: { enabled: true },
      rpInitiatedLogout: { enabled: true },
    },
    cookies: { keys: [randomUUID()] },
    // Hubs of tests are on loopback, which it would not speak to otherwise.
    fetch: (url, { dispatcher, ...options }) => globalThis.fetch(url, options),
    async findAccount(_, id) {
      const person = people[id]
      return person && { accountId: id, claims: () => ({ sub: id, name: id, ...person }) }
    },
  })
  return made.callback()
}

let keys = [key()]
let answer = provider(keys)

createServer((request, response) => {
  if (request.url === '/test/rotate' && request.method === 'POST') {
    keys = [key()]
    answer = provider(keys)
    response.end()
  } else {
    answer(request, response)
  }
}).listen(port, '127.0.0.1')
