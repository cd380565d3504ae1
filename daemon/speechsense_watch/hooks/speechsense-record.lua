-- For FreeSWITCH: writes the metadata file beside each finished recording, for speechsense-watch with metadata_last = true.
--
-- Put it into the scripts directory (/usr/share/freeswitch/scripts) and name it in autoload_configs/lua.conf.xml:
--     <param name="startup-script" value="speechsense-record.lua"/>
-- `fs_cli -x "luarun speechsense-record.lua"` starts it without a restart. It listens for RECORD_STOP, which comes when the file is
-- closed, and takes the call's data from the channel variables that the dialplan has set (see dialplan-sample.xml):
--     speechsense_operator  the operator's extension; a recording without it gets no metadata
--     speechsense_client    the client's number; the caller's or the callee's when it is not set
--     speechsense_outgoing  true or false
--     speechsense_operator_name, speechsense_client_name, speechsense_language    optional
--
-- No shell and no other program has a part in this: whatever a caller calls himself is a text in a JSON file.

local CONTROL = "[%z\1-\31\127]"

local function text(value)
    -- JSON as RFC 8259 has it; bytes beyond ASCII go on as they are.
    value = value:gsub('[\\"]', "\\%0"):gsub(CONTROL, function(byte)
        return string.format("\\u%04x", byte:byte())
    end)
    return '"' .. value .. '"'
end

local function set(event, name)
    local value = event:getHeader("variable_" .. name)
    if value ~= nil and value ~= "" then
        return value
    end
end

local function began(event)
    -- In whole seconds since 1970, some versions with a fraction; now, when it is something else.
    local seconds = (set(event, "start_epoch") or ""):match("^([1-9]%d*)%.?%d*$")
    return seconds and #seconds <= 10 and tonumber(seconds) or os.time()
end

local function metadata(event)
    local operator = set(event, "speechsense_operator")
    if operator == nil then
        return nil
    end
    local outgoing = set(event, "speechsense_outgoing") == "true"
    local other = outgoing and event:getHeader("Caller-Destination-Number") or event:getHeader("Caller-Caller-ID-Number")
    local client = set(event, "speechsense_client") or other or "unknown"
    local fields = {
        { "operator_id", operator },
        { "operator_name", set(event, "speechsense_operator_name") or operator },
        { "client_id", client },
        { "client_name", set(event, "speechsense_client_name") or client },
        { "direction_outgoing", tostring(outgoing) },
        { "date", os.date("!%Y-%m-%dT%H:%M:%SZ", began(event)) },
        { "language", set(event, "speechsense_language") or "ru-RU" },
    }
    local parts = {}
    for _, field in ipairs(fields) do
        parts[#parts + 1] = text(field[1]) .. ": " .. text(field[2])
    end
    return "{" .. table.concat(parts, ", ") .. "}\n"
end

local function complain(what)
    -- No numbers, no names, no paths: a log is read by many.
    freeswitch.consoleLog("err", "speechsense-record: " .. what .. "\n")
end

local function write(recording, whole)
    local directory, name = recording:match("^(.*/)([^/]+)$")
    local stem = name and name:match("^(.*)%.[wW][aA][vV]$")
    if stem == nil then
        return
    end
    local audio = io.open(recording, "rb")
    if audio == nil then
        -- FreeSWITCH has deleted it: nobody spoke.
        return
    end
    audio:close()
    -- A name that begins with a dot is left alone by speechsense-watch until it gets its real one.
    -- Cut, since names end at 255 bytes.
    local aside = directory .. "." .. name:sub(1, 200) .. ".json"
    local file = io.open(aside, "wb")
    if file == nil or not file:write(whole) or not file:close() then
        os.remove(aside)
        complain("the metadata cannot be written")
        return
    end
    if not os.rename(aside, directory .. stem .. ".json") then
        os.remove(aside)
        complain("the metadata cannot be put in place")
    end
end

local function serve(event)
    local recording = event:getHeader("Record-File-Path")
    local whole = recording and metadata(event)
    if whole then
        write(recording, whole)
    end
end

local events = freeswitch.EventConsumer("RECORD_STOP")
while true do
    local event = events:pop(1)
    if event == nil then
        break
    end
    -- An error would end this script, and with it the metadata of every later recording. Its text may hold a number.
    if not pcall(serve, event) then
        complain("a recording gets no metadata: its event is not as it should be")
    end
end
