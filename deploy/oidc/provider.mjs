// An OpenID provider for tests, on loopback: three people, whose password is their name. The
// address /test/… lets a test rotate the keys; nothing here is meant for anyone else.
import { createServer } from 'node:http'
import { generateKeyPairSync, randomUUID } from 'node:crypto'
import Provider from 'oidc-provider'

const port = Number(process.env.PORT)
const issuer = `http://127.0.0.1:${port}`

const key = () => ({
  ...generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' }),
  kid: randomUUID(),
  use: 'sig',
  alg: 'ES256',
})

const people = {
  steward: { roles: ['hub-steward'], organisation: 'region' },
  dpo: { roles: ['hub-dpo'], organisation: 'region' },
  visitor: { roles: [], organisation: 'elsewhere' },
}

function provider(keys) {
  const made = new Provider(issuer, {
    jwks: { keys },
    clients: [
      {
        client_id: 'hub',
        client_secret: 'hub-secret-of-the-tests',
        redirect_uris: [
          'http://127.0.0.1:8000/login/callback',
          'http://testserver/login/callback',
        ],
        post_logout_redirect_uris: ['http://127.0.0.1:8000/', 'http://testserver/'],
        id_token_signed_response_alg: 'ES256',
        response_types: ['code'],
        grant_types: ['authorization_code'],
      },
    ],
    claims: { openid: ['sub'], profile: ['name', 'roles', 'organisation'] },
    conformIdTokenClaims: false,
    pkce: { required: () => true },
    features: { devInteractions: { enabled: true }, rpInitiatedLogout: { enabled: true } },
    cookies: { keys: [randomUUID()] },
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
