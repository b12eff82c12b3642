-- claim: queued -> executing, for a worker that has free slots
--
-- ARGV[2]  the worker's id
-- ARGV[3]  the number of its offer of free slots, 0 if it makes none
-- ARGV[4]  now, as ISO 8601
-- ARGV[5]  lease, ms
-- ARGV[6]  'ready', or 'alone' for jobs that only a worker without others may take
-- ARGV[7]… fours: kind, how many of that kind are wanted at most (0 just says that the worker is
--          alive); how many the worker may be given in all, and how many it got so far
-- Returns  {now in µs, {jobs left ready of each kind, 0 where none were wanted},
--          {jobs given of each kind so far}, jobs that wait to run alone,
--          MessagePack: {job blob, token, attempt, start}…; '' if there are none}
-- Tells    whoever waits for a claimed job: executing
--
-- What the worker may be given beyond what it gets now stays offered: `submit` sends it jobs up to
-- that. A job that was sent and not received counts as given, until the worker makes another
-- offer, with a higher number.

local claimed, newest = {}, 0
local worker, number, source = ARGV[2], tonumber(ARGV[3]), ARGV[6]
local offer = base .. 'offer:' .. worker

-- It waits until there is room for one more of the party's, and pays for its turn then.
local function park(kind, key, tag, account, party)
  redis.call('ZADD', base .. 'parked:' .. kind .. ':' .. party, tag, key)
  count('parked', party, 1)
  if kind ~= 'hook' then return end
  local cost = redis.call('HGET', base .. 'job:' .. key, 'cost')
  redis.call('HINCRBYFLOAT', base .. 'fair:hook', '@' .. account, -cost)
end

local function claim_one(kind, key, tag)
  local is = redis.call('HMGET', base .. 'job:' .. key, 'job', 'account', 'queued', 'version',
    'token', 'attempt', 'limit', 'whole_limit')
  local parties = parties_of(key, kind, is[2])
  for index, party in ipairs(parties) do
    if is_full(kind, party, is[6 + index]) then
      park(kind, key, tag, is[2], party)
      -- It may have been unparked for a room in the whole that it does not take now.
      if index < #parties then unpark(parties[#parties]) end
      return
    end
  end
  local changes, told = start(key, kind, is, ARGV[4], ARGV[5])
  redis.call('HSET', base .. 'job:' .. key, 'tag', tag, unpack(changes))
  claimed[#claimed + 1] = told
  newest = math.max(newest, tonumber(tag))
end

-- Whether jobs may be left: parking passes over those of parties that are full, bounded, so that
-- no call takes long.
local function claim_some(kind, free)
  local wanted, tries = #claimed + free, 1000
  while #claimed < wanted and tries > 0 do
    local asked = math.min(wanted - #claimed, tries)
    local popped = redis.call('ZPOPMIN', base .. source .. ':' .. kind, asked)
    for index = 1, #popped, 2 do claim_one(kind, popped[index], popped[index + 1]) end
    if #popped < 2 * asked then return false end
    tries = tries - asked
  end
  return true
end

-- Old places come up again after a retry or a pause: virtual time must not go back with them, or
-- newcomers would get tags before those of everybody who waits.
local function move_time(kind)
  local fair = base .. 'fair:' .. kind
  if newest > (tonumber(redis.call('HGET', fair, '')) or 0) then
    redis.call('HSET', fair, '', newest)
  end
end

local function count_alone(askers)
  if redis.call('EXISTS', unpack(askers)) == 0 then return 0 end
  local alone = 0
  for _, name in ipairs(askers) do alone = alone + redis.call('ZCARD', name) end
  return alone
end

-- What the worker is known to offer, if it is this offer.
local function read_terms()
  local terms = {}
  if number == 0 then return terms end
  local fields = redis.call('HGETALL', offer)
  for index = 1, #fields, 2 do terms[fields[index]] = tonumber(fields[index + 1]) end
  return terms
end

local known, changed = read_terms(), {}
-- So late that the worker has given this call up: what it got now would be lost.
if (known.number or 0) > number then return {now_us, {}, {}, 0, ''} end
local is_new = known.number ~= number

local function note(field, value)
  if is_new or known[field] ~= value then
    changed[#changed + 1], changed[#changed + 2] = field, value
  end
end

local left, given, rooms, askers = {}, {}, {}, {}
for index = 7, #ARGV, 4 do
  local kind, wanted = ARGV[index], tonumber(ARGV[index + 1])
  local limit, got = tonumber(ARGV[index + 2]), tonumber(ARGV[index + 3])
  if number > 0 and not is_new then
    limit, got = math.max(limit, known[kind]), known[kind .. ' given']
  end
  newest = -1
  local before = #claimed
  local room = source == 'alone' and wanted or math.max(0, math.min(wanted, limit - got))
  local is_more = wanted > 0 and claim_some(kind, room)
  left[#left + 1] = is_more and redis.call('ZCARD', base .. 'ready:' .. kind) or 0
  if newest >= 0 then move_time(kind) end
  got = got + #claimed - before
  given[#given + 1], rooms[kind] = got, limit - got
  note(kind, limit)
  note(kind .. ' given', got)
  put('consumers', now, kind .. ' ' .. worker)
  askers[#askers + 1] = base .. 'alone:' .. kind
end

local alone = count_alone(askers)
if number > 0 then
  note('number', number)
  note('lease', tonumber(ARGV[5]))
  if changed[1] then redis.call('HSET', offer, unpack(changed)) end
  redis.call('PEXPIRE', offer, 3600000)
  -- While a job waits to run alone, the worker is about to take nothing else.
  for kind, room in pairs(rooms) do set_room(kind, worker, alone == 0 and room or 0) end
end
deliver()
return {now_us, left, given, alone, #claimed > 0 and cmsgpack.pack(claimed) or ''}
